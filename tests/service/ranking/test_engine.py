from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from pathlib import Path
from threading import Event as Signal

import anyio
import pytest
from anyio import to_thread

from recsys_vae.bundles.bundle import Bundle
from recsys_vae.data.signals import Repeat, SignalRules
from recsys_vae.recommender import FallbackChain, Users
from service.errors import DeadlineError, UnknownItemError
from service.ranking import mmr, ranking
from service.ranking.batches import Limits
from service.ranking.cursors import Cursor
from service.ranking.engine import Engine
from service.ranking.filters import Eq
from service.ranking.interleaving import Teams
from service.ranking.item_lists import SIMILAR, ItemList, ListQuery, Source
from service.ranking.live_items import LiveItems
from service.ranking.pages import Page, Request
from service.ranking.ranking import answer_all
from service.ranking.results import Answer, Query
from service.ranking.served_model import Catalogue
from service.store.events import Event, EventStore
from service.store.history_cache import Histories
from service.store.item_feed import ItemFeed
from service.store.item_records import ItemChange
from service.store.items import ItemStore
from tests.service.tiny import HISTORIES, fill, write_tiny_bundle


def like(item_id: str, k: int) -> ListQuery:
    return ListQuery(Source(SIMILAR, item_id), Query(k))


class HeldLadder(FallbackChain):
    """Answers only once it is let go."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self.asked, self.let_go = Signal(), Signal()

    def encode(self, *args, **kwargs) -> Users:
        self.asked.set()
        assert self.let_go.wait(10)
        return super().encode(*args, **kwargs)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    url = f"sqlite:///{tmp_path / 'events.db'}"
    fill(url)
    return Engine(Histories(EventStore(url)))


def test_an_unknown_item_is_told_apart(engine: Engine, chain: FallbackChain) -> None:
    with pytest.raises(UnknownItemError, match="'zzz'"):
        anyio.run(engine.list_items, Catalogue(chain), like("zzz", 3))


def test_similar_items_wait_in_the_queue_beside_recommendations_and_not_past_their_deadline(
    tmp_path: Path, chain: FallbackChain
) -> None:
    held, catalogue = HeldLadder(chain.bundle), Catalogue(chain)
    url = f"sqlite:///{tmp_path / 'events.db'}"
    fill(url)
    engine = Engine(Histories(EventStore(url)), Limits(deadline_seconds=0.2))

    async def ask_both() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fails, Catalogue(held))
            await to_thread.run_sync(held.asked.wait)
            with pytest.raises(DeadlineError):
                await engine.list_items(catalogue, like("a", 3))
            held.let_go.set()
        assert [item.rank for item in (await engine.list_items(catalogue, like("a", 3))).items] == [1, 2, 3]

    async def fails(catalogue: Catalogue) -> None:
        with pytest.raises(DeadlineError):
            await engine.recommend(catalogue, Request(Query(3)))

    anyio.run(ask_both)


@pytest.mark.parametrize("query", [Query(3), Query(3, diversity=0.5), Query(3, explain=True)])
def test_what_is_asked_in_one_batch_finds_its_asker(engine: Engine, chain: FallbackChain, query: Query) -> None:
    found: dict[str, object] = {}

    async def ask(name: str, call: Callable[[], Awaitable[object]]) -> None:
        found[name] = await call()

    async def ask_all() -> None:
        catalogue = Catalogue(chain)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, "similar", lambda: engine.list_items(catalogue, like("a", 2)))
            tasks.start_soon(ask, "list", lambda: engine.recommend(catalogue, Request(query, "u0")))
            tasks.start_soon(ask, "other", lambda: engine.list_items(catalogue, like("b", 3)))

    anyio.run(ask_all)
    similar, page, other = found["similar"], found["list"], found["other"]
    assert isinstance(similar, ItemList)
    assert isinstance(other, ItemList)
    assert isinstance(page, Page)
    assert (len(similar.items), len(other.items), len(page.answer.items)) == (2, 3, 3)
    assert "a" not in {item.item_id for item in similar.items}


def test_a_request_ends_with_the_catalogue_that_it_began_with_and_blocks_nobody(
    engine: Engine, chain: FallbackChain, tmp_path: Path
) -> None:
    old = HeldLadder(chain.bundle)
    new = FallbackChain(Bundle.load(write_tiny_bundle(tmp_path / "new", "popularity")))
    versions = []

    async def ask(catalogue: Catalogue) -> None:
        versions.append((await engine.recommend(catalogue, Request(Query(3), "u0"))).answer.model_version)

    async def ask_both() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, Catalogue(old))
            await to_thread.run_sync(old.asked.wait)
            tasks.start_soon(ask, Catalogue(new))
            old.let_go.set()

    anyio.run(ask_both)
    assert sorted(versions) == sorted([old.bundle.version, new.bundle.version])


def test_many_at_a_time_get_each_their_own_answer(engine: Engine, chain: FallbackChain) -> None:
    catalogue = Catalogue(chain)
    found: dict[tuple[str, int], list[str]] = {}

    async def ask(user_id: str, turn: int) -> None:
        page = await engine.recommend(catalogue, Request(Query(8), user_id))
        found[user_id, turn] = sorted(item.item_id for item in page.answer.items)

    async def ask_all() -> None:
        async with anyio.create_task_group() as tasks:
            for turn in range(20):
                for user_id in HISTORIES:
                    tasks.start_soon(ask, user_id, turn)

    anyio.run(ask_all)
    assert len(found) == 120
    for (user_id, _), items in found.items():
        assert items == sorted(set("abcdefgh") - set(HISTORIES[user_id]))


def test_what_one_side_of_a_draft_takes_for_a_dislike_neither_returns(tmp_path: Path, chain: FallbackChain) -> None:
    store = EventStore(f"sqlite:///{tmp_path / 'events.db'}")
    kinds = {"a": "view", "d": "return", "nowhere": "return"}
    store.take([Event(item, "ann", item, kind, 1.0, None) for item, kind in kinds.items()], "api")
    engine, pair = Engine(Histories(store)), (Catalogue(chain), Catalogue(chain))
    pair[1].rules = SignalRules(dislikes=("return",))
    found: dict[str, tuple[list[str], list[str]]] = {}

    async def ask(repeat: Repeat) -> None:
        page = await engine.recommend_together(Teams(("x", "y"), pair, "seed"), Request(Query(8, repeat=repeat), "ann"))
        ids = sorted(item.item_id for item in page.answer.items)
        found[repeat] = ids, [notice.code for notice in page.answer.notices]

    for repeat in ("allow", "only"):
        anyio.run(ask, repeat)
    assert found["allow"] == (list("abcefgh"), ["unknown_items_in_history", "fewer_items_than_k"])
    assert found["only"][0] == ["a"]


class Lagging:
    """Changes of items that nobody can tell."""

    explore = 0.0

    def __init__(self) -> None:
        self.settled: list[int] = []

    def settle(self, catalogues: Iterable[Catalogue]) -> bool:
        self.settled.append(len(list(catalogues)))
        return False

    def settle_at_once(self, catalogues: Iterable[Catalogue]) -> bool:
        return False

    def count_events(self, catalogue: Catalogue) -> None:
        """Nothing is known of any."""


def test_all_that_is_computed_says_that_changes_of_items_may_be_missing(tmp_path: Path, chain: FallbackChain) -> None:
    items = Lagging()
    engine = Engine(Histories(EventStore(f"sqlite:///{tmp_path / 'events.db'}")), items=items)
    pair = (Catalogue(chain), Catalogue(chain))
    notices: list[list[str]] = []

    async def ask() -> None:
        page = await engine.recommend_together(Teams(("a", "b"), pair, "seed"), Request(Query(3)))
        notices.append([notice.code for notice in page.answer.notices])
        notices.append([notice.code for notice in (await engine.list_items(pair[0], like("a", 3))).notices])
        notices.append([notice.code for notice in (await engine.recommend(pair[0], Request(Query(3)))).answer.notices])

    anyio.run(ask)
    assert [codes.count("items_unavailable") for codes in notices] == [1, 1, 1]
    assert items.settled == [2, 1, 1]  # both sides of a draft go into one batch, and are settled before either


def test_what_changes_while_a_list_is_computed_in_steps_neither_shortens_nor_contradicts_it(
    tmp_path: Path, any_chain: FallbackChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mmr, "PART", 1)
    monkeypatch.setattr(ranking, "NAMED_AT_ONCE", 1)
    changes, catalogue = ItemStore(EventStore(f"sqlite:///{tmp_path / 'events.db'}").database), Catalogue(any_chain)
    items, drama = LiveItems(ItemFeed(changes), explore=0.4), {"genre": "drama"}
    query = Query(5, filter=Eq("genre", "drama"), diversity=0.3, explain=True, fields=("genre",), explore=0.4)
    query = replace(query, history={"b": 1.0, "f": 1.0})
    names, n_pauses = [*"aceg", "n0", "n1"], 0
    changes.take([ItemChange(f"n{number}", fields=drama) for number in range(4)])
    for first in range(len(names)):
        changes.take([ItemChange(name, fields=drama, hidden=False) for name in names])
        items.settle([catalogue])
        steps, left = answer_all(catalogue, [query]), [*names[first:], *names[:first]]
        found: list[Answer | Exception] | None = None
        while found is None:
            try:
                next(steps)
            except StopIteration as end:
                found = end.value
            else:
                n_pauses += 1
                changes.take([ItemChange(name, fields={"genre": "x"}, hidden=True) for name in left[:1]])
                items.settle([catalogue])
                left = left[1:]
        assert isinstance(found[0], Answer)
        assert len({item.item_id for item in found[0].items}) == 5
        assert found[0].fields == (drama,) * 5
    assert n_pauses >= len(names)


def test_users_are_answered_by_several_catalogues_from_one_read_of_their_histories(
    tmp_path: Path, chain: FallbackChain
) -> None:
    url = f"sqlite:///{tmp_path / 'events.db'}"
    fill(url)
    looked_up: list[bool] = []
    engine = Engine(Histories(EventStore(url), on_look_up=looked_up.append))
    catalogues = Catalogue(chain), Catalogue(FallbackChain(chain.bundle))
    users = [*HISTORIES, "nobody", *(f"new{number}" for number in range(12))]
    requests = [Request(Query(3), user_id=user) for user in users]
    found = anyio.run(engine.recommend_side_by_side, catalogues, requests)
    assert len(looked_up) == len(users)
    for user, request, one in zip(users, requests, found, strict=True):
        assert one is not None
        alone = anyio.run(engine.recommend, catalogues[0], request)
        assert [answer.items for answer in one.answers] == [alone.answer.items] * 2
        assert one.n_events == len(HISTORIES.get(user, ())) == alone.basis.n_events


def test_whom_the_queue_has_no_time_for_is_left_out(tmp_path: Path, chain: FallbackChain) -> None:
    held = HeldLadder(chain.bundle)
    url = f"sqlite:///{tmp_path / 'events.db'}"
    fill(url)
    engine = Engine(Histories(EventStore(url)), Limits(deadline_seconds=0.2))
    requests = [Request(Query(3), user_id="u0")]
    assert anyio.run(engine.recommend_side_by_side, (Catalogue(chain), Catalogue(held)), requests) == [None]
    held.let_go.set()


def test_a_history_that_is_at_hand_is_not_waited_for(
    tmp_path: Path, chain: FallbackChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'events.db'}"
    fill(url)
    engine, catalogue, request = Engine(Histories(EventStore(url))), Catalogue(chain), Request(Query(3), user_id="u0")
    first = anyio.run(engine.recommend, catalogue, request)

    async def wait(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(engine._reading, "soon", wait)
    assert anyio.run(engine.recommend, catalogue, request) == first
    with pytest.raises(AssertionError):
        anyio.run(engine.recommend, catalogue, replace(request, user_id="u1"))


def test_a_store_that_hangs_costs_a_user_the_stored_history_only(
    tmp_path: Path, chain: FallbackChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'events.db'}"
    fill(url)
    is_over = Signal()
    histories = Histories(EventStore(url))
    engine, catalogue = Engine(histories, Limits(deadline_seconds=0.5)), Catalogue(chain)
    request = Request(Query(3), user_id="u0")
    page = anyio.run(engine.recommend, catalogue, request)

    def hang(user_id: str, until: int | None = None) -> None:
        is_over.wait(10)

    monkeypatch.setattr(histories, "history", hang)
    monkeypatch.setattr(histories, "at_hand", lambda *_: None)

    async def ask() -> tuple[Page, Exception | None]:
        found = await engine.recommend(catalogue, request)
        try:
            await engine.recommend(
                catalogue, replace(request, cursor=Cursor(catalogue.version, 1, request.digest, (0,)))
            )
        except DeadlineError as error:
            return found, error
        finally:
            is_over.set()
        return found, None

    found, refused = anyio.run(ask)
    assert "store_unavailable" in [notice.code for notice in found.answer.notices]
    assert "store_unavailable" not in [notice.code for notice in page.answer.notices]
    assert refused is not None  # a list that began with the history cannot go on without it
