"""Engine: from a request to an answer: the stored history, then a batch with whatever else is asked now."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple, Protocol

from recsys_vae.data.histories import History
from recsys_vae.data.purchases import DAY
from recsys_vae.data.signal_rules import SignalRules
from recsys_vae.errors import UnavailableError
from service import timestamps
from service.errors import CursorExpiredError, DeadlineError
from service.ranking.batches import Here, Limits, Observer
from service.ranking.cursors import Cursor
from service.ranking.exploration import exploring
from service.ranking.interleaving import Teams, join, split_cursor
from service.ranking.item_lists import ItemList, ListQuery, listed
from service.ranking.micro_batcher import Batcher
from service.ranking.pages import Basis, Page, Request, check_cursor, page_of
from service.ranking.ranking import answer_all
from service.ranking.reading import Reading
from service.ranking.results import Answer, Notice, Query
from service.ranking.rows import Rows, RowsQuery, rows_of
from service.ranking.served_model import NO_RULES, Catalogue
from service.ranking.steps import Steps, finished
from service.ranking.work import work_of
from service.store.user_history import UserEvents, UserHistory, joined, overlaid

PATIENCE = 0.5
"""Share of the time for an answer that a stored history is waited for; then the list is made without it."""
SIDE_BY_SIDE = 10
"""Users that several catalogues answer for at a time where the queue is shared with others."""


class Histories(Protocol):
    """Where the histories of known users are."""

    def history(self, user_id: str, until: int | None = None) -> UserHistory:
        """What is known of a user, up to this sequence only, if one is given.

        Raises:
            UnavailableError: it cannot be told.
        """
        ...

    def at_hand(self, user_id: str, rules: Iterable[SignalRules]) -> UserHistory | None:
        """The same where nothing has to be waited for, nor computed under these rules; else None."""
        ...


class SideBySide(NamedTuple):
    """Lists of one user: an answer a catalogue, and how many stored events they were made from."""

    answers: list[Answer]
    n_events: int


class Job(NamedTuple):
    """What a batch is made of. It ends with the catalogue that it began with."""

    catalogue: Catalogue
    query: Query | ListQuery | RowsQuery


Found = Answer | ItemList | Rows


class Read(NamedTuple):
    """A stored history as it was read; `sequence` is None where there was none to read."""

    history: UserHistory
    sequence: int | None
    notices: tuple[Notice, ...] = ()


class Items(Protocol):
    """What was changed about items.

    Attributes:
        explore: share of the places of a list for items that the model does not know.
    """

    explore: float

    def settle(self, catalogues: Iterable[Catalogue]) -> bool:
        """Have catalogues show all that is acknowledged by now; False where nobody says what that is."""
        ...

    def settle_at_once(self, catalogues: Iterable[Catalogue]) -> bool:
        """The same, where nothing has to be waited for; False where it has, or may have, and nothing is done."""
        ...

    def count_events(self, catalogue: Catalogue) -> None:
        """Have a catalogue know what stored events say of items that it does not hold."""
        ...


class Unchanged:
    """Nothing was changed about items."""

    explore = 0.0

    def settle(self, catalogues: Iterable[Catalogue]) -> bool:
        """Nothing to do."""
        return True

    def settle_at_once(self, catalogues: Iterable[Catalogue]) -> bool:
        """Likewise."""
        return True

    def count_events(self, catalogue: Catalogue) -> None:
        """Likewise."""


class Engine:
    """Answers requests, each with the catalogue that it is given.

    Args:
        histories: of known users.
        limits: what it takes on.
        observer: told of every batch and of what is refused.
        items: what was changed about items; asked before every batch.
        clock: what time it is, in microseconds since 1970.
        reading: how histories are read.

    Attributes:
        batcher: with its queue; `queue_depth` and `computing` say how busy it is.
        is_shared: whether others ask than the pages.
    """

    def __init__(
        self,
        histories: Histories,
        limits: Limits | None = None,
        observer: Observer | None = None,
        items: Items | None = None,
        clock: Callable[[], int] = timestamps.now,
        reading: Reading | None = None,
    ) -> None:
        self._histories, self._clock, self._reading = histories, clock, reading or Reading()
        self._items: Items = items or Unchanged()
        self._limits = limits or Limits()
        self.is_shared = self._limits.is_shared
        self.batcher: Batcher[Job, Found] = Batcher(
            self._compute,
            self._limits,
            observer,
            Here(_is_list_of_user, self._settle, self._answers, self._settle_at_once),
        )

    def close(self) -> None:
        """Let the threads end."""
        self.batcher.close()
        self._reading.close()

    async def recommend(self, catalogue: Catalogue, request: Request) -> Page:
        """Rank items for one user; it ends with this catalogue, whatever is put in service meanwhile.

        Raises:
            FieldError: something in the request does not fit the bundle, or the cursor the request.
            CursorExpiredError: the list of the cursor cannot be continued.
            OverloadedError: too many requests wait.
            DeadlineError: there was not enough time.
        """
        deadline, after = asyncio.get_running_loop().time() + self._limits.deadline_seconds, request.cursor
        if after is not None:
            check_cursor(after, request.digest, catalogue.version)
        stored = await self._stored(request, (catalogue,), deadline)
        day = self._day(request, (catalogue,))
        answer = await self._answer(catalogue, request, stored, day, deadline)
        basis = _basis(stored, day, answer)
        if stored.notices or request.notices:
            answer = replace(answer, notices=(*stored.notices, *request.notices, *answer.notices))
        return page_of(answer, request, basis)

    def begin(self, catalogue: Catalogue, request: Request) -> "asyncio.Future[Found]":
        """Promise the first page of items by a history of ids alone, by a catalogue that `goes_by_ids_alone`.

        Raises:
            OverloadedError: too many requests wait.
            DeadlineError: (by the promise) there was not enough time.
        """
        deadline = asyncio.get_running_loop().time() + self._limits.deadline_seconds
        return self.batcher.enqueue(Job(catalogue, request.query), deadline, flow=request.flow)

    async def recommend_together(self, teams: Teams, request: Request) -> Page:
        """Rank items for one user by two catalogues, and draft one list from both; raises what `recommend` does.

        Both see the history that is read once: what one of them hides, the other one does not return.
        """
        deadline, after = asyncio.get_running_loop().time() + self._limits.deadline_seconds, request.cursor
        if after is not None:
            check_cursor(after, request.digest, teams.version)
        stored = await self._stored(request, teams.catalogues, deadline)
        query, cursors = self._exploring(request.query, request), None if after is None else split_cursor(after, teams)
        histories = [_joined(stored.history, request, catalogue) for catalogue in teams.catalogues]
        unwanted, day = _disliked_by_other(teams.catalogues, histories), self._day(request, teams.catalogues)
        queries = [
            replace(
                _seen_from(day, query, stored.history, request, catalogue),
                history=histories[side],
                exclude=(*query.exclude, *unwanted[side]),
                after=cursors and cursors[side],
            )
            for side, catalogue in enumerate(teams.catalogues)
        ]
        first, second = await asyncio.gather(
            *(
                self.batcher.submit(Job(catalogue, one), deadline, flow=request.flow, work=work_of(one))
                for catalogue, one in zip(teams.catalogues, queries, strict=True)
            )
        )
        assert isinstance(first, Answer)
        assert isinstance(second, Answer)
        answer = join(teams, (first, second), request.query.k, cursors)
        answer = replace(answer, notices=(*stored.notices, *request.notices, *answer.notices))
        return page_of(answer, request, _basis(stored, day, first, second))

    async def recommend_side_by_side(
        self, catalogues: Sequence[Catalogue], requests: Sequence[Request]
    ) -> list[SideBySide | None]:
        """First pages for users by each of several catalogues; None for whom the queue has no room or no time.

        All histories are read in one go, each once; then some users at a time are answered, by all catalogues together.

        Raises:
            DeadlineError: the store did not answer in time.
        """
        clock, seconds = asyncio.get_running_loop().time, self._limits.deadline_seconds
        read = [partial(self._read, request.user_id, None, catalogues) for request in requests]
        stored = await self._reading.apart(lambda: [one() for one in read], clock() + seconds)

        async def answered(request: Request, stored: Read) -> SideBySide | None:
            until = clock() + seconds
            asked = (self._answer(one, request, stored, self._day(request, (one,)), until) for one in catalogues)
            try:
                return SideBySide(await asyncio.gather(*asked), len(stored.history.events))
            except UnavailableError:
                return None

        found: list[SideBySide | None] = []
        together = SIDE_BY_SIDE if self.is_shared else max(1, self._limits.max_batch // len(catalogues))
        for start in range(0, len(requests), together):
            some = slice(start, start + together)
            found += await asyncio.gather(*map(answered, requests[some], stored[some]))
        return found

    async def list_items(self, catalogue: Catalogue, asked: ListQuery, flow: str = "") -> ItemList:
        """A list without a user; `flow` is whose request it is.

        Raises:
            UnknownItemError: the catalogue does not hold the item that the list is about.
            UnknownListError: the bundle has no such list.
            FieldError: something in the request does not fit the bundle.
            OverloadedError: too many requests wait.
            DeadlineError: there was not enough time.
        """
        deadline = asyncio.get_running_loop().time() + self._limits.deadline_seconds
        found = await self.batcher.submit(Job(catalogue, asked), deadline, flow=flow, work=work_of(asked.query))
        assert isinstance(found, ItemList)
        return found

    async def rows(self, catalogue: Catalogue, asked: RowsQuery, request: Request) -> Rows:
        """Titled rows for a user of the store, no item twice.

        Args:
            catalogue: what answers.
            asked: which rows; its query is that of the request, joined with the stored history.
            request: about whom.

        Raises:
            FieldError: something in the request does not fit the bundle.
            OverloadedError: too many requests wait.
            DeadlineError: there was not enough time.
        """
        deadline = asyncio.get_running_loop().time() + self._limits.deadline_seconds
        stored = await self._stored(request, (catalogue,), deadline)
        query = replace(request.query, history=_joined(stored.history, request, catalogue))
        asked = replace(asked, query=self._exploring(query, request))
        work = work_of(asked.query) * asked.n_rows
        found = await self.batcher.submit(Job(catalogue, asked), deadline, flow=request.flow, work=work)
        assert isinstance(found, Rows)
        return replace(found, notices=(*stored.notices, *request.notices, *found.notices))

    async def _answer(
        self, catalogue: Catalogue, request: Request, stored: Read, day: int | None, deadline: float
    ) -> Answer:
        """For a user whose history is at hand."""
        query, history, after = request.query, _joined(stored.history, request, catalogue), request.cursor
        if after is not None or history is not query.history:
            query = replace(query, history=history, after=after)
        query = _seen_from(day, self._exploring(query, request), stored.history, request, catalogue)
        job = Job(catalogue, query)
        answer = await self.batcher.submit(job, deadline, flow=request.flow, work=work_of(query))
        assert isinstance(answer, Answer)
        return answer

    def _day(self, request: Request, catalogues: Sequence[Catalogue]) -> int | None:
        """The day that purchases and last events are seen from: that of the request, on later pages of the first; None
        where lists do not go by it.
        """
        by_repeats = request.query.repeat != "exclude" and any(catalogue.knows_repeats for catalogue in catalogues)
        if not by_repeats and not any(catalogue.goes_by_recency for catalogue in catalogues):
            return None
        if request.cursor is not None and request.cursor.day is not None:
            return request.cursor.day
        return self._clock() // DAY

    def _exploring(self, query: Query, request: Request) -> Query:
        """With places for items that the model does not know."""
        if request.tells_chances:
            query = replace(query, tells_chances=True)
        return exploring(query, self._items.explore, request.seed)

    def _compute(self, jobs: list[Job]) -> Steps[Sequence[Found | Exception]]:
        """Answer a batch; while bundles are swapped it may hold requests for two of them."""
        return (yield from self._answered(jobs, is_current=self._settle(jobs)))

    def _settle(self, jobs: list[Job]) -> bool:
        """Ask the store what was changed about items; whether it has said so."""
        return self._items.settle(_catalogues(jobs))

    def _settle_at_once(self, jobs: list[Job]) -> bool | None:
        """The same, where that takes no wait; else None."""
        return self._items.settle_at_once(_catalogues(jobs)) or None

    def _answers(self, jobs: list[Job], is_current: bool) -> Sequence[Found | Exception]:
        """Answer a batch, whose catalogues show what they are to, without a pause."""
        return finished(self._answered(jobs, is_current=is_current))

    def _answered(self, jobs: list[Job], *, is_current: bool) -> Steps[Sequence[Found | Exception]]:
        catalogues = _catalogues(jobs)
        found: dict[int, Found | Exception] = {}
        for catalogue in catalogues:
            asked = {place: job.query for place, job in enumerate(jobs) if job.catalogue is catalogue}
            queries = {place: query for place, query in asked.items() if isinstance(query, Query)}
            outcomes = (yield from answer_all(catalogue, list(queries.values()))) if queries else []
            found |= zip(queries, outcomes, strict=True)
            if len(queries) < len(asked):
                self._items.count_events(catalogue)
            for place, other in asked.items():
                if not isinstance(other, Query):
                    found[place] = yield from _attempt(catalogue, other)
        return [found[place] if is_current else _dated(found[place]) for place in range(len(jobs))]

    async def _stored(self, request: Request, catalogues: Sequence[Catalogue], deadline: float) -> Read:
        if request.user_id is None:
            return _NOBODY
        read = partial(self._read, request.user_id, request.cursor, catalogues)
        if request.cursor is not None:
            return await self._reading.soon(read, deadline)
        held = self._histories.at_hand(request.user_id, (catalogue.rules for catalogue in catalogues))
        if held is not None:
            return _found(held)
        now = asyncio.get_running_loop().time()
        try:
            return await self._reading.soon(read, now + PATIENCE * (deadline - now))
        except DeadlineError:  # there is time for an answer without it
            return _WITHOUT_STORE

    def _read(self, user_id: str | None, after: Cursor | None, catalogues: Sequence[Catalogue]) -> Read:
        """The one place where the stored history of a user is read."""
        if user_id is None:
            return _NOBODY
        if after is not None and after.sequence is None:
            return _WITHOUT_STORE
        try:
            stored = self._histories.history(user_id)
            if after is not None and after.sequence != stored.sequence:
                stored = self._histories.history(user_id, after.sequence)
        except UnavailableError:
            if after is not None:
                raise
            return _WITHOUT_STORE
        if after is not None and after.sequence != stored.sequence:
            raise CursorExpiredError("the history that its list was made from is no longer held")
        for catalogue in catalogues:
            stored.under(catalogue.rules)  # here, and not in the event loop
        return _found(stored)


_NOBODY = Read(UserHistory(), None)
_UNAVAILABLE = Notice(
    "store_unavailable",
    "The event store does not answer: this user's stored history could not be taken into account.",
)
_WITHOUT_STORE = Read(UserHistory(), None, (_UNAVAILABLE,))
_ITEMS_UNAVAILABLE = Notice(
    "items_unavailable", "The event store does not answer: what was changed about items lately may be missing here."
)
_UNKNOWN_USER = Notice("unknown_user", "The event store holds no event of this user.")


def _found(stored: UserHistory) -> Read:
    return Read(stored, stored.sequence, () if len(stored.events) else (_UNKNOWN_USER,))


def _catalogues(jobs: Iterable[Job]) -> list[Catalogue]:
    return list({id(job.catalogue): job.catalogue for job in jobs}.values())


def _is_list_of_user(job: Job) -> bool:
    """Whether nothing but the catalogue is needed to answer."""
    return isinstance(job.query, Query)


def _attempt(catalogue: Catalogue, asked: ListQuery | RowsQuery) -> Steps[Found | Exception]:
    try:
        if isinstance(asked, ListQuery):
            return (yield from listed(catalogue, asked))
        return (yield from rows_of(catalogue, asked))
    except Exception as error:  # whatever it is, it must not sink the others
        return error


def _dated(outcome: Found | Exception) -> Found | Exception:
    """With a notice that it may not know the last changes of items."""
    if isinstance(outcome, Exception):
        return outcome
    return replace(outcome, notices=(*outcome.notices, _ITEMS_UNAVAILABLE))


def _basis(stored: Read, day: int | None, *answers: Answer) -> Basis:
    return Basis(stored.sequence, len(stored.history.events), day, tuple(answer.items_as_of for answer in answers))


def _joined(stored: UserHistory, request: Request, catalogue: Catalogue) -> History:
    """Both histories by the rules of the bundle, what is sent being more recent than what is stored."""
    sent = request.query.history
    if not sent:
        return stored.under(catalogue.rules) if len(stored.events) else sent
    if catalogue.rules == NO_RULES:
        return overlaid(stored.under(NO_RULES), sent) if len(stored.events) else sent
    return joined(stored, _sent(request), catalogue.rules)


def _sent(request: Request) -> UserEvents:
    """The events that came with a request."""
    return UserEvents.of_ids(request.query.history) if request.sent is None else request.sent


def _seen_from(day: int | None, query: Query, stored: UserHistory, request: Request, catalogue: Catalogue) -> Query:
    """With what was done, stored or sent, where the bundle of a catalogue ranks by it."""
    if day is None or not (catalogue.knows_repeats or catalogue.goes_by_recency):
        return query
    return replace(query, events=stored.events.then(_sent(request)), day=day)


def _disliked_by_other(catalogues: Sequence[Catalogue], histories: Sequence[History]) -> list[list[str]]:
    """Items of each side that the rules of the other alone keep out of its list: neither may return them."""
    disliked = [{item_id for item_id, weight in history.items() if weight < 0} for history in histories]
    if disliked[0] == disliked[1]:
        return [[], []]
    unwanted = [sorted(disliked[1 - side] - disliked[side]) for side in (0, 1)]
    return [
        [item_id for item_id, row in zip(ids, catalogue.rows(ids).tolist(), strict=True) if row >= 0]
        for catalogue, ids in zip(catalogues, unwanted, strict=True)
    ]
