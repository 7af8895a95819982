"""Bundles and an event store for the grocer's households, and what the service's engine lists for them."""

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from pipelines.dataset.directory import DatasetDir
from pipelines.training.repeats import learn_repeats
from recsys_vae.bundles.additions import with_repeat
from recsys_vae.bundles.bundle import Bundle, write_bundle
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.data.ids import IdMap
from recsys_vae.data.purchases import DAY, Visits
from recsys_vae.data.signals import Repeat
from recsys_vae.models.ials import IALS, IALSConfig
from recsys_vae.protocols import Float32Array, Int64Array
from recsys_vae.recommender import FallbackChain
from service.http.conversion import to_request
from service.ranking.batches import Limits
from service.ranking.engine import Engine
from service.ranking.served_model import Catalogue
from service.schemas.recommendations import RecommendationRequest
from service.store.events import Event, EventStore
from service.store.history_cache import Histories

START = datetime(1970, 1, 1, tzinfo=UTC)
MODEL = IALSConfig(factors=32, unobserved=0.3, l2=0.01)
AT_ONCE = 5_000
PATIENT = Limits(max_queue=10_000, deadline_seconds=3600.0)


@dataclass(frozen=True, eq=False)
class Shop:
    """A service that knows what households bought before their last visit.

    Attributes:
        bare: the bundle without a head.
        with_head: the same with the head that `recsys learn-repeats` writes.
    """

    bare: Catalogue
    with_head: Catalogue
    _store: EventStore

    def lists(
        self, catalogue: Catalogue, households: Int64Array, days: Int64Array, k: int, repeat: Repeat
    ) -> Int64Array:
        """Item rows that the engine answers with, each household asked on its own day, shape (n, k); -1 at the end."""
        return asyncio.run(self._lists(catalogue, households, days, k, repeat))

    def scores(self, before: Visits) -> Float32Array:
        """Of the bundle's model, for what comes after what was bought before."""
        return self.bare.chain.score((before.matrix() > 0).astype(np.float32))

    async def _lists(
        self, catalogue: Catalogue, households: Int64Array, days: Int64Array, k: int, repeat: Repeat
    ) -> Int64Array:
        now, found = [0], np.full((len(households), k), -1)
        engine = Engine(Histories(self._store), PATIENT, clock=lambda: now[0])
        for day in np.unique(days).tolist():
            now[0], places = day * DAY, np.flatnonzero(days == day).tolist()
            asked = (
                RecommendationRequest(user_id=name_of_user(int(households[place])), k=k, repeat=repeat)
                for place in places
            )
            pages = await asyncio.gather(*(engine.recommend(catalogue, to_request(one)) for one in asked))
            for place, page in zip(places, pages, strict=True):
                rows = catalogue.rows([item.item_id for item in page.answer.items])
                found[place, : len(rows)] = rows
        engine.close()
        return found


@contextmanager
def opened(before: Visits) -> Iterator[Shop]:
    """A shop that has learned from what was before, by the commands' own functions."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        log = _log(before)
        items = IdMap.from_values(map(_name_of_item, range(before.shape[1])))
        matrix = before.matrix()
        model = IALS(len(items), MODEL)
        model.fit(matrix)
        popularity = np.diff(matrix.tocsc().indptr)
        write_bundle(folder / "bare", model, items, popularity=popularity, provenance=Provenance(dataset="groceries"))
        learned = learn_repeats(_dataset(folder / "groceries", log), Bundle.load(folder / "bare"))
        with_repeat(folder / "bare", folder / "with-head", learned.head, learned.cutoff)
        chains = [FallbackChain(Bundle.load(folder / name)) for name in ("bare", "with-head")]
        with closing(EventStore(f"sqlite:///{folder}/events.db")) as store:
            _fill(store, log)
            yield Shop(Catalogue(chains[0]), Catalogue(chains[1]), store)


def name_of_user(household: int) -> str:
    """Id of a household; ids ascend as households do."""
    return f"u{household:05}"


def _name_of_item(item: int) -> str:
    return f"i{item:05}"


def _log(visits: Visits) -> pl.DataFrame:
    days = pl.Series([START + timedelta(days=day) for day in visits.days.tolist()], dtype=pl.Datetime("us", "UTC"))
    return pl.DataFrame(
        {
            "user_id": list(map(name_of_user, visits.users.tolist())),
            "item_id": list(map(_name_of_item, visits.items.tolist())),
            "event_type": pl.repeat(None, len(days), dtype=pl.String, eager=True),
            "weight": pl.repeat(1.0, len(days), dtype=pl.Float32, eager=True),
            "timestamp": days,
            "position": pl.repeat(None, len(days), dtype=pl.UInt32, eager=True),
        }
    )


def _dataset(path: Path, log: pl.DataFrame) -> DatasetDir:
    """As ingest keeps it: the last event of a pair, and all of those that occur more than once."""
    path.mkdir()
    found = DatasetDir(path)
    latest = log.unique(["user_id", "item_id"], keep="last", maintain_order=True)
    latest.sort("user_id", "item_id").write_parquet(found.interactions_path)
    again = log.filter(pl.len().over("user_id", "item_id") > 1)
    again.sort("user_id", "item_id", "timestamp").write_parquet(found.repeats_path)
    return found


def _fill(store: EventStore, log: pl.DataFrame) -> None:
    times = log["timestamp"].dt.epoch("us").to_list()
    events = [
        Event(str(place), user, item, "purchase", 1.0, time)
        for place, (user, item, time) in enumerate(zip(log["user_id"], log["item_id"], times, strict=True))
    ]
    for start in range(0, len(events), AT_ONCE):
        store.append([events[start : start + AT_ONCE]], "benchmark")
