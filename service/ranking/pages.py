"""Pages: what is asked about somebody, the page of a list that answers it, and how the list goes on."""

from dataclasses import dataclass, field
from typing import NamedTuple

from service.errors import CursorExpiredError, FieldError
from service.ranking.cursors import LARGEST_DEPTH, Cursor
from service.ranking.plain_lists import PlainItems
from service.ranking.results import Answer, Notice, Query
from service.store.user_history import UserEvents


@dataclass(frozen=True)
class Request:
    """A query about somebody.

    Attributes:
        query: what came with the request.
        user_id: whose stored history is joined to it; None for nobody's.
        digest: of what makes the list; pages of one list have the same.
        cursor: where the list goes on, with the bundle that it began with; None for its start.
        notices: what there is to say already.
        flow: whose it is: those who ask share the queue alike.
        seed: what items that the model does not know are drawn by.
        sent: the events of the query's history, where they say more than that its items were liked, each once.
        tells_chances: whether to say how likely items are to be in the list.
        asked: what it was made of, for whoever keeps it.
    """

    query: Query
    user_id: str | None = None
    digest: bytes = bytes(16)
    cursor: Cursor | None = None
    notices: tuple[Notice, ...] = ()
    flow: str = ""
    seed: str = ""
    sent: UserEvents | None = None
    tells_chances: bool = False
    asked: object = field(default=None, compare=False)


class Basis(NamedTuple):
    """What an answer was made from, beside the request and the bundle; attributes as those of `recipes.Recipe`."""

    history: int | None
    n_events: int
    day: int | None
    items: tuple[int, ...]


class Page(NamedTuple):
    """An answer, the cursor that goes on after it (None at the end of the list), and what it was made from."""

    answer: Answer
    next_cursor: str | None
    basis: Basis = Basis(None, 0, None, (0,))


def check_cursor(cursor: Cursor, digest: bytes, version: str) -> None:
    """See that a list goes on as it began.

    Args:
        cursor: that a request came with.
        digest: of the request.
        version: of what answers.

    Raises:
        FieldError: the cursor belongs to another request.
        CursorExpiredError: the list was begun by another bundle.
    """
    if cursor.request != digest:
        message = (
            "this cursor belongs to another request; repeat the one whose answer it came with, but for k and explain"
        )
        raise FieldError("body.cursor", message)
    if cursor.model_version != version:
        raise CursorExpiredError("another model is in service by now")


def first_page(answer: Answer, request: Request) -> Page:
    """An answer to a request that brings all of its history itself, as the first page of its list."""
    return page_of(answer, request, Basis(None, 0, None, (answer.items_as_of,)))


def page_of(answer: Answer, request: Request, basis: Basis) -> Page:
    """An answer as a page."""
    return Page(answer, _next_cursor(answer, basis.history, request.digest, basis.day), basis)


def _next_cursor(answer: Answer, sequence: int | None, digest: bytes, day: int | None) -> str | None:
    if not answer.has_more or len(answer.shown) >= LARGEST_DEPTH:
        return None
    packed = answer.items.found.packed if isinstance(answer.items, PlainItems) else None
    return Cursor(answer.model_version, sequence, digest, answer.shown, day).write(packed)
