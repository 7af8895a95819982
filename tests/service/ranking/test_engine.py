from pathlib import Path
from threading import Event as Signal

import anyio
import pytest
from anyio import to_thread

from recsys_vae.bundles.bundle import Bundle
from recsys_vae.recommender import FallbackChain, Users
from service.errors import UnknownItemError
from service.ranking.engine import Engine, Request
from service.ranking.results import Query
from service.ranking.served_model import Catalogue
from service.store.events import EventStore
from service.store.history_cache import Histories
from tests.service.tiny import HISTORIES, fill, write_tiny_bundle


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
        anyio.run(engine.similar, Catalogue(chain), "zzz", 3)


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
