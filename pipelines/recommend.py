"""Recommend and embed: batch jobs over all users of a dataset, in bounded memory, written whole or not at all."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import tee
from json import dumps, loads
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.sparse import csr_array
from tqdm import tqdm

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.histories import Chunk, read_histories
from pipelines.dataset.order import OrderInShards
from pipelines.dataset.purchases import read_purchases, seen_from
from pipelines.dataset.recency import read_recency
from pipelines.dataset.user_features import UserMetadata
from recsys_vae import repeats
from recsys_vae.atomic import atomic_file, remove_partials, write_atomically
from recsys_vae.bundles.bundle import Bundle
from recsys_vae.data.columns import ITEM, RANK, SCORE, SOURCE, TIER, USER
from recsys_vae.data.ids import IdMap
from recsys_vae.data.purchases import Purchases
from recsys_vae.data.recency import Recency
from recsys_vae.data.signals import Repeat, hidden_from, liked, shown_to
from recsys_vae.errors import DataError, UnknownNameError
from recsys_vae.outputs import FileProduct, Product, check_output, table_product
from recsys_vae.protocols import FactorizedRecommender, Float32Array, takes_order
from recsys_vae.recommender import Answers, FallbackChain
from recsys_vae.reranking.reranker import Reranker
from recsys_vae.reranking.rules import NO_RULES, Rules
from recsys_vae.retrieval.exact import TorchIndex
from recsys_vae.top_k import check_k, mask, select
from recsys_vae.training.device import device_of_searches, keep_freed_memory

VECTOR = "vector"
TORCH = "torch"
SCORERS = (TORCH, "index")
LISTS = table_product("a file of lists by `recsys recommend`", (USER, RANK, ITEM, SCORE, TIER, SOURCE))
USERS, ITEMS = (table_product("a file of vectors by `recsys embed`", (name, VECTOR)) for name in (USER, ITEM))
"""What each job may replace."""


Spread = Callable[[Iterator[Chunk]], Iterator[pl.DataFrame]]
"""Gives the lists of chunks, in their order, as tables of `LISTS`."""
NAMED = 10_000
"""Users that a report names; it counts the others."""
SHOWN = 10
"""Of these, how many a message shows."""


@dataclass(frozen=True)
class Named:
    """Some of the users asked for, counted and named.

    Attributes:
        number: how many.
        ids: of the first of them.
    """

    number: int = 0
    ids: tuple[str, ...] = ()

    def __str__(self) -> str:
        more = self.number - len(self.ids[:SHOWN])
        return ", ".join(self.ids[:SHOWN]) + (f" and {more:,} more" if more else "")

    def plus(self, ids: pl.Series) -> "Named":
        """These and those."""
        return Named(self.number + len(ids), (*self.ids, *ids.head(NAMED - len(self.ids))))


@dataclass(frozen=True)
class BatchReport:
    """What a batch job wrote; kept beside its file as FILE.json.

    Attributes:
        bundle: version of the bundle.
        dataset: name of the dataset.
        k: items a user that were asked for.
        asked: users who were asked for.
        users: users in the file.
        rows: rows in the file.
        tiers: users by the tier that answered.
        scorer: what computed the scores.
        created_at: ISO 8601, UTC.
        strangers: users who were asked for by name and have no interactions; answered as new users.
        without_list: users who were asked for and have every item already, or none to repeat.
        rules: of re-ranking, in words; "" for none.
    """

    bundle: str
    dataset: str
    k: int
    asked: int
    users: int
    rows: int
    tiers: dict[str, int]
    scorer: str
    created_at: str
    strangers: Named = Named()
    without_list: Named = Named()
    rules: str = ""


def _is_report(path: Path) -> bool:
    content = loads(path.read_bytes())
    return isinstance(content, dict) and {"bundle", "dataset", "tiers", "scorer"} <= content.keys()


REPORT = FileProduct("a report by `recsys recommend`", _is_report)
"""What may be replaced beside the lists."""


def recommend_all(
    bundle: Bundle,
    dataset: DatasetDir,
    to: Path,
    *,
    k: int = 100,
    only: IdMap | None = None,
    chunk: int = 1024,
    keep_seen: bool = False,
    repeat: Repeat = "exclude",
    now: datetime | None = None,
    scorer: str = TORCH,
    rules: Rules = NO_RULES,
    spread: "Spread | None" = None,
) -> BatchReport:
    """Write the k best items of each user to a Parquet file: user_id, rank, item_id, score, tier, source.

    Args:
        to: the file; FILE.json beside it gets the report.
        k: at least 1; no list is longer than the catalogue.
        only: these users instead of all; those whom the dataset does not know are answered as new users.
        chunk: users scored at once.
        keep_seen: as `repeat="allow"`.
        repeat: `allow` to recommend what users already have, too; `only` for that alone. Where the bundle has a
            repeat-purchase head, what users have is ranked by that.
        now: when lists are for, which purchases are seen from; the time of the latest event that is past when None.
        scorer: `torch`, the exact product on the best device here, or `index`, what the bundle serves with.
        rules: of re-ranking, as evaluate measures them; with any, scores of all items are computed.
        spread: gives the lists of chunks instead of this process.

    Raises:
        ConfigError: k < 1, a rule does not fit the items' metadata, or something else stands where the files go.
        UnknownNameError: no such scorer.
        DataError: there are no users, or the bundle knows none of the dataset's items.
    """
    reranker = check_batch(bundle, dataset, k, rules)
    to, report_path = check_files(to)
    keep_freed_memory()
    asked_for = Asked(k, _how(repeat, keep_seen=keep_seen), now, scorer, rules)
    tiers, asked, rows = Counter[str](), 0, 0
    without_list = Named()
    chain = _chain(bundle, scorer)
    here = partial(map, ListMaker(bundle, dataset, asked_for, chain, reranker))
    with _parquet(to, LISTS) as write:
        parts, listed = tee(_with_bar(_histories(bundle, dataset, chunk, only), n_users(dataset, only)))
        for part, table in zip(parts, (spread or here)(listed), strict=True):
            answered = table.group_by(USER).first()
            tiers.update(dict(answered[TIER].value_counts().iter_rows()))
            without_list = without_list.plus(part.users.filter(~part.users.is_in(answered[USER].implode())))
            asked += len(part.users)
            rows += table.height
            write(table)
        if not asked:
            raise DataError("There is nobody to recommend to: the dataset, or the list of users, is empty.")
    report = BatchReport(
        bundle=bundle.version,
        dataset=dataset.name,
        k=k,
        asked=asked,
        users=sum(tiers.values()),
        rows=rows,
        tiers=dict(tiers),
        scorer=chain.scorer,
        created_at=_now(),
        strangers=Named() if only is None else strangers(dataset, only),
        without_list=without_list,
        rules=str(rules),
    )
    write_atomically(report_path, dumps(asdict(report), indent=2) + "\n", REPORT)
    return report


@dataclass(frozen=True)
class Asked:
    """What lists are asked for, as `recommend_all` takes it."""

    k: int
    repeat: Repeat
    now: datetime | None
    scorer: str
    rules: Rules


class ListMaker:
    """Gives the lists of chunks of users."""

    def __init__(
        self, bundle: Bundle, dataset: DatasetDir, asked: Asked, chain: FallbackChain, reranker: Reranker | None
    ) -> None:
        self._asked, self._chain, self._reranker = asked, chain, reranker
        self._known, self._places = _metadata(bundle, dataset), _order(bundle, dataset)
        self._bought = _purchases(bundle, dataset, asked.now) if asked.repeat != "exclude" else None
        self._seen = _recency(chain, dataset, asked.now)

    @classmethod
    def load(cls, bundle_path: Path, dataset: DatasetDir, asked: Asked) -> "ListMaker":
        """With a bundle that is loaded, and verified, here."""
        keep_freed_memory()
        bundle = Bundle.load(bundle_path, to_ask=asked.scorer == TORCH)
        reranker = check_batch(bundle, dataset, asked.k, asked.rules)
        return cls(bundle, dataset, asked, _chain(bundle, asked.scorer), reranker)

    def __call__(self, part: Chunk) -> pl.DataFrame:
        """A table of `LISTS`."""
        told = _Told(
            None if self._known is None else self._known(part.users),
            None if self._places is None else self._places(part),
            None if self._bought is None else self._bought(part),
            None if self._seen is None else self._seen(part),
        )
        k = min(self._asked.k, self._chain.n_items)
        answers = _answers(part, self._chain, k, self._asked.repeat, told, self._reranker)
        return _lists(part, self._chain, answers, told.purchases)


def check_batch(bundle: Bundle, dataset: DatasetDir, k: int, rules: Rules) -> Reranker | None:
    """What puts lists in order by rules, once it is known that lists can be made; None without rules.

    Raises:
        ConfigError: k < 1, or a rule does not fit the items' metadata.
        DataError: the bundle knows none of the dataset's items.
    """
    check_k(k)
    _check_catalogue(bundle, dataset)
    reranker = Reranker(rules, bundle.item_table, min(k, len(bundle.items))) if rules else None
    if reranker is not None:
        reranker.check()
    return reranker


def check_files(to: Path) -> tuple[Path, Path]:
    """Where lists and their report go, once it is known that nothing else would be lost there."""
    to = check_output(to, LISTS)
    return to, check_output(to.with_name(to.name + ".json"), REPORT)


def n_users(dataset: DatasetDir, only: IdMap | None) -> int:
    """How many users are asked for."""
    if only is not None:
        return len(only)
    return int(_everybody(dataset).select(pl.col(USER).n_unique()).collect(engine="streaming").item())


def strangers(dataset: DatasetDir, users: IdMap) -> Named:
    """Which of these users have no interactions."""
    known = _everybody(dataset).select(pl.col(USER).unique()).collect(engine="streaming")[USER]
    missing = np.ones(len(users), dtype=np.bool_)
    rows = users.rows(known)
    missing[rows[rows >= 0]] = False
    return Named().plus(users.values.filter(pl.Series(missing)))


def embed_users(bundle: Bundle, dataset: DatasetDir, to: Path, *, only: IdMap | None = None, chunk: int = 4096) -> int:
    """Write the query vector of each user: user_id, vector (list of float32); returns the number of users."""
    users = 0
    with _parquet(to, USERS) as write, tqdm(total=n_users(dataset, only), unit="user", dynamic_ncols=True) as bar:
        for part, vectors in encoded(bundle, dataset, only=only, chunk=chunk):
            write(_vectors(USER, part.users, vectors))
            users += len(part.users)
            bar.update(len(part.users))
    return users


def encoded(
    bundle: Bundle, dataset: DatasetDir, *, only: IdMap | None = None, chunk: int = 4096
) -> Iterator[tuple[Chunk, Float32Array]]:
    """Chunks of users, each with their query vectors, shape (n, d).

    Raises:
        DataError: the model has no vectors.
    """
    model = _factorised(bundle)
    known, places = _metadata(bundle, dataset), _order(bundle, dataset)
    for part in _histories(bundle, dataset, chunk, only):
        metadata = None if known is None else known(part.users)
        order = {} if places is None else {"order": places(part)}
        yield part, model.encode(shown_to(model, part.histories), metadata, **order)


def embed_items(bundle: Bundle, to: Path) -> int:
    """Write the vector of each item: item_id, vector (list of float32); returns the number of items."""
    with _parquet(to, ITEMS) as write:
        write(_vectors(ITEM, bundle.items.values, _factorised(bundle).item_vectors()))
    return len(bundle.items)


def _histories(bundle: Bundle, dataset: DatasetDir, chunk: int, only: IdMap | None) -> Iterator[Chunk]:
    return read_histories(dataset, bundle.items, chunk, only, half_life=bundle.signals.half_life)


def _check_catalogue(bundle: Bundle, dataset: DatasetDir) -> None:
    items = dataset.interactions().select(pl.col(ITEM).unique()).collect(engine="streaming")[ITEM]
    if len(items) and (bundle.items.rows(items) < 0).all():
        raise DataError(
            f"None of the {len(items):,} items of dataset {dataset.name!r} is in the catalogue of {bundle.version}, "
            f"which learned from {bundle.manifest.provenance.dataset!r}. Use a bundle that was trained on this dataset."
        )


def _chain(bundle: Bundle, scorer: str) -> FallbackChain:
    """The service's fallback chain; for chunks of users a plain product is several times faster than FAISS's scan."""
    if scorer not in SCORERS:
        raise UnknownNameError("scorer", scorer, SCORERS)
    if scorer == TORCH and isinstance(bundle.model, FactorizedRecommender):
        return FallbackChain(bundle, TorchIndex(bundle.model.item_vectors(), device_of_searches()))
    return FallbackChain(bundle)


def _metadata(bundle: Bundle, dataset: DatasetDir) -> Callable[[pl.Series], csr_array] | None:
    """What the dataset knows of users, as the bundle reads it."""
    return None if bundle.tiers.schema is None else UserMetadata(dataset, bundle.tiers.schema).rows


def _how(repeat: Repeat, *, keep_seen: bool) -> Repeat:
    return "allow" if keep_seen else repeat


class _Told(NamedTuple):
    """What is known of some users beside their histories."""

    metadata: csr_array | None
    order: csr_array | None
    purchases: Purchases | None
    recency: Recency | None


def _answers(
    part: Chunk, chain: FallbackChain, k: int, repeat: Repeat, told: _Told, reranker: Reranker | None
) -> Answers:
    if reranker is None and told.purchases is None:
        return chain.recommend(
            part.histories, k, repeat=repeat, metadata=told.metadata, order=told.order, recency=told.recency
        )
    users = chain.encode(part.histories, told.metadata, told.order, recency=told.recency)
    if told.purchases is None:
        scores = chain.scores(users)
    else:
        only = repeat == "only" and repeats.tell_all(told.purchases, part.histories)
        scores = repeats.scores(chain, users, told.purchases, "only" if only else "allow")
    mask(scores, excluded=hidden_from(part.histories, repeat))
    found = select(scores, k) if reranker is None else reranker.lists(scores, part.histories)
    return Answers(found.rows, found.scores, users.tiers, chain.bundle.manifest.model)


def _order(bundle: Bundle, dataset: DatasetDir) -> Callable[[Chunk], csr_array] | None:
    """The order of users' histories, where the model goes by it; asked chunk by chunk."""
    if not takes_order(bundle.model):
        return None
    order = OrderInShards(dataset)
    return lambda part: order.of(liked(part.histories), IdMap(part.users), bundle.items)


def _purchases(bundle: Bundle, dataset: DatasetDir, now: datetime | None) -> Callable[[Chunk], Purchases] | None:
    """What users have bought, where the bundle has a head that goes by it and the dataset knows times."""
    day = None if bundle.repeat is None else seen_from(dataset, now)
    if day is None:
        return None
    return lambda part: read_purchases(dataset, IdMap(part.users), bundle.items, np.full(len(part.users), day))


def _recency(chain: FallbackChain, dataset: DatasetDir, now: datetime | None) -> Callable[[Chunk], Recency] | None:
    """How long ago users were last there, where the second stage goes by it and the dataset knows times."""
    day = seen_from(dataset, now) if chain.takes_recency else None
    return None if day is None else lambda part: read_recency(dataset, IdMap(part.users), day)


def _lists(part: Chunk, chain: FallbackChain, answers: Answers, purchases: Purchases | None) -> pl.DataFrame:
    users, places = np.nonzero(answers.rows >= 0)
    tiers = pl.Series(TIER, answers.tiers, dtype=pl.String).gather(users)
    rows = answers.rows[users, places]
    again = repeats.are_bought(purchases, users, rows)
    return pl.DataFrame(
        {
            USER: part.users.gather(users),
            RANK: pl.Series(places + 1, dtype=pl.Int32),
            ITEM: chain.bundle.items.values.gather(rows),
            SCORE: answers.scores[users, places],
            TIER: tiers,
            SOURCE: pl.Series(repeats.sources(chain, tiers.to_numpy(), rows, again), dtype=pl.String),
        }
    )


def _vectors(name: str, ids: pl.Series, vectors: Float32Array) -> pl.DataFrame:
    column = pl.Series(VECTOR, vectors, dtype=pl.Array(pl.Float32, vectors.shape[1])).arr.to_list()
    return pl.DataFrame({name: ids, VECTOR: column})


def _factorised(bundle: Bundle) -> FactorizedRecommender:
    if not isinstance(bundle.model, FactorizedRecommender):
        raise DataError(
            f"Model {bundle.manifest.model} has no user and item vectors: its scores are not inner products."
        )
    return bundle.model


@contextmanager
def _parquet(path: Path, product: Product) -> Iterator[Callable[[pl.DataFrame], None]]:
    """Yield a function that appends a table to `path`, which appears when the block is left without an error."""
    path = check_output(path, product)
    remove_partials(path)
    with atomic_file(path, product) as temporary:
        writer: pq.ParquetWriter | None = None

        def write(table: pl.DataFrame) -> None:
            nonlocal writer
            arrow = table.to_arrow(compat_level=pl.CompatLevel.oldest())
            writer = writer or pq.ParquetWriter(temporary, arrow.schema, compression="zstd")
            writer.write_table(arrow)

        try:
            yield write
        finally:
            if writer is not None:
                writer.close()
            else:
                pq.write_table(pa.table({}), temporary)


def _everybody(dataset: DatasetDir) -> pl.LazyFrame:
    """Users of whom anything is known, likes or dislikes."""
    dislikes, users = dataset.dislikes(), dataset.interactions().select(USER)
    return users if dislikes is None else pl.concat([users, dislikes.select(USER)])


def _with_bar(parts: Iterator[Chunk], total: int) -> Iterator[Chunk]:
    with tqdm(total=total, unit="user", dynamic_ncols=True) as bar:
        for part in parts:
            yield part
            bar.update(len(part.users))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
