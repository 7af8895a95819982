"""Bundle: a trained model as one directory, written whole and verified whole.

    BUNDLE/
        manifest.json           what it is, where it comes from, and a SHA-256 of every other file (manifest.py)
        weights.safetensors     what the model has learned
        items.parquet           item_id in row order, popularity, and the items' metadata
        index.faiss             item vectors for search; factorised models only; index.safetensors where it is ondisk
        user_schema.json        how metadata of users are read; where the dataset has some
        segments.safetensors    what is popular among users with the same metadata; likewise
        item_schema.json        how content of items is read; where it predicts vectors of new items
        content.safetensors     by what weights; likewise
        lists.json              by what rules lists without a user and neighbours were made; where there are some
        lists.safetensors       counts of events in windows of time; where events have times
        neighbours.safetensors  what comes with each item
        repeat.safetensors      what users buy again; where the bundle has a repeat-purchase head
        ranker.json, ranker.txt, ranker-N.safetensors    its second stage, where it has one (second_stage.py)

Items, never users. Nothing in it is pickled, and nothing is unpickled when it is loaded.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np
import polars as pl
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from recsys_vae.arrays import check_finite
from recsys_vae.atomic import atomic_directory, remove_partials
from recsys_vae.bundles.manifest import (
    BUNDLE,
    FORMAT_VERSION,
    Manifest,
    Provenance,
    describe,
    missing_plugins,
    newer,
    product_of,
    read_manifest,
    verify_files,
    write_manifest,
)
from recsys_vae.bundles.second_stage import ModelPart, parts_in, read_ranker, write_ranker
from recsys_vae.bundles.segment_popularity import SegmentPopularity
from recsys_vae.bundles.shelves import NEIGHBOURS, Shelves
from recsys_vae.bundles.tier_policy import POSTERIOR, PRIOR, SEGMENT, TierPolicy
from recsys_vae.data.columns import ITEM, POPULARITY
from recsys_vae.data.features import Schema
from recsys_vae.data.ids import IdMap, IdType
from recsys_vae.data.signals import SignalRules
from recsys_vae.errors import (
    BundleCorruptError,
    BundleError,
    DataError,
    MissingExtraError,
    PluginError,
    RecsysError,
    UnknownNameError,
)
from recsys_vae.frames import read_table
from recsys_vae.mapped import Keep, as_made
from recsys_vae.models import catalog
from recsys_vae.models.content_map import ContentMap
from recsys_vae.models.loading import create_to_ask, create_to_load
from recsys_vae.models.plugins import GROUP
from recsys_vae.models.repeat import RepeatHead
from recsys_vae.outputs import check_output
from recsys_vae.protocols import FactorizedRecommender, Float32Array, Recommender, takes_metadata
from recsys_vae.retrieval.faiss_index import IndexReport
from recsys_vae.retrieval.index_files import FAISS_FILE, BundleIndex, read_index, vectors_for, write_index
from recsys_vae.second_stage.ranker import Ranker
from recsys_vae.settings import from_plain
from recsys_vae.tensor_file import map_tensors, write_tensors

WEIGHTS, ITEMS, INDEX = "weights.safetensors", "items.parquet", FAISS_FILE
SCHEMA, SEGMENTS = "user_schema.json", "segments.safetensors"
ITEM_SCHEMA, CONTENT_MAP = "item_schema.json", "content.safetensors"
REPEAT = "repeat.safetensors"
ID_TYPE, WHOLE_NUMBERS = "id_type", "integer"
"""Metadata of items.parquet where ids are whole numbers to the caller."""
NO_INDEX = "none"
WRITTEN = product_of(BUNDLE)
"""What writing a bundle may replace."""


@dataclass(frozen=True, eq=False)
class Tiers:
    """What answers users of whom little is known.

    Attributes:
        policy: which tier answers whom.
        schema: how metadata of users are read; None where there are none.
        segments: popularity by their columns; None where there is none.
        content: from the content of items that come later to their vectors; None where there is none.
    """

    policy: TierPolicy = field(default_factory=TierPolicy)
    schema: Schema | None = None
    segments: SegmentPopularity | None = None
    content: ContentMap | None = None


@dataclass(frozen=True, eq=False)
class Bundle:
    """A loaded bundle: everything needed to answer.

    Attributes:
        manifest: what it says about itself.
        model: with its weights, on the CPU.
        items: item id <-> item row.
        item_table: one row an item in row order: item_id, popularity, metadata columns.
        popularity: users of each item in the training data, shape (n_items,).
        index: over the item vectors; None for models that are not factorised. Of a flat one, without FAISS, the exact
            scorer.
        tiers: what answers users of whom little is known.
        shelves: what answers without a user.
        repeat: what users buy again, beside the model; None where the bundle has none.
        ranker: the second stage; None where the model's own order counts.
        ranker_parts: what there is to say of each of its further models.
    """

    manifest: Manifest
    model: Recommender
    items: IdMap
    item_table: pl.DataFrame
    popularity: Float32Array
    index: BundleIndex | None
    tiers: Tiers = field(default_factory=Tiers)
    shelves: Shelves = field(default_factory=Shelves)
    repeat: RepeatHead | None = None
    ranker: Ranker | None = None
    ranker_parts: Sequence[ModelPart] = ()

    @property
    def version(self) -> str:
        """Identity of this bundle; every answer names it."""
        return self.manifest.version

    @cached_property
    def signals(self) -> SignalRules:
        """What events say of a user's taste, as this bundle has learned it."""
        return SignalRules.read(self.manifest.signals)

    @classmethod
    def unwritten(
        cls,
        model: Recommender,
        items: IdMap,
        popularity: np.ndarray,
        tiers: Tiers,
        *,
        provenance: Provenance | None = None,
        item_table: pl.DataFrame | None = None,
        shelves: Shelves | None = None,
        signals: SignalRules | None = None,
    ) -> "Bundle":
        """A bundle that is not on disk and has no index: to measure it, or to learn what stands beside its model.

        Args: as of `write_bundle`.
        """
        manifest = Manifest(
            FORMAT_VERSION,
            "unwritten",
            catalog.name_of(model),
            catalog.settings_of(model),
            len(items),
            {},
            provenance or Provenance(),
            "",
            {},
            {},
            signals={} if signals is None else signals.described(),
        )
        counts, table = popularity.astype(np.float32), _item_rows(items, popularity, item_table)
        return cls(manifest, model, items, table, counts, None, tiers, shelves or Shelves())

    @classmethod
    def load(cls, directory: Path, keep: Callable[[Manifest], Keep] | None = None, *, to_ask: bool = False) -> "Bundle":
        """Read and verify a bundle; nothing of it is used before all of it is found in order.

        Args:
            directory: where it is.
            keep: where large arrays of the bundle with a manifest are kept, for processes that share them.
            to_ask: whether only lists of users are asked for: weights are mapped, models that can do without torch are
                without it, neighbours of items are not read, and the exact scorer stands for a flat index.

        Raises:
            BundleCorruptError: a file is missing, truncated or altered, or contradicts the manifest.
            BundleVersionError: written in a format that this version does not read, or with settings, tiers or kinds of
                metadata that it does not know.
            BundleError: its model comes from a plug-in that is not installed, or broken.
            MissingExtraError: it has an approximate index, and FAISS is not installed; or a second stage, and LightGBM
                is not.
        """
        manifest = read_manifest(directory)
        verify_files(directory, manifest)
        try:
            return cls._read(directory, manifest, as_made if keep is None else keep(manifest), to_ask=to_ask)
        except UnknownNameError as error:
            if missing := missing_plugins(manifest):
                raise BundleError(
                    f"{directory} holds the model {manifest.model!r}, written with {'; '.join(missing)}. {error} "
                    f"Install it: it adds the model by its entry point of the group {GROUP}."
                ) from error
            raise newer(directory, BUNDLE, error) from error
        except PluginError as error:
            raise BundleError(f"{directory} cannot be used: {error}") from error
        except MissingExtraError:
            raise
        except (
            SafetensorError, pl.exceptions.PolarsError, KeyError, TypeError, ValueError, RuntimeError, RecsysError
        ) as error:  # fmt: skip
            raise BundleCorruptError(f"{directory} contradicts its manifest: {error}") from error

    @classmethod
    def _read(cls, directory: Path, manifest: Manifest, keep: Keep, *, to_ask: bool) -> "Bundle":
        _check_signals(manifest)
        table = read_table(directory / ITEMS)
        popularity = _popularity(table)
        items = IdMap(table[ITEM], _id_type(directory / ITEMS))
        if len(items) != manifest.n_items:
            raise BundleCorruptError(f"{ITEMS} has {len(items)} items, the manifest {manifest.n_items}.")
        config = catalog.configure(manifest.model, manifest.settings)
        model = (create_to_ask if to_ask else create_to_load)(manifest.model, len(items), config)
        model.load_tensors(keep("weights", lambda: (map_tensors if to_ask else load_file)(directory / WEIGHTS)))
        index = None
        if manifest.index and isinstance(model, FactorizedRecommender):
            report = from_plain(IndexReport, manifest.index, "an index")
            vectors = keep("vectors", lambda: {"vectors": model.item_vectors()})["vectors"].view(np.float32)
            index = read_index(directory, vectors, report, keep, to_ask=to_ask)
        tiers, repeat = _read_tiers(directory, manifest, model), _read_repeat(directory, manifest)
        files = manifest.files.keys() - ({NEIGHBOURS} if to_ask else set())
        shelves = Shelves.read(directory, files, len(items), 0 if tiers.schema is None else tiers.schema.width)
        ranker = read_ranker(directory, manifest.files, manifest.model, table, shelves.lists, popularity)
        parts = parts_in(directory, manifest.files)
        return cls(manifest, model, items, table, popularity, index, tiers, shelves, repeat, ranker, parts)


def _check_signals(manifest: Manifest) -> None:
    """What it says of events must be known before anything is answered."""
    known = [rule.name for rule in fields(SignalRules)]
    if unknown := manifest.signals.keys() - set(known):
        raise UnknownNameError("rule of signals", min(unknown), known)
    SignalRules.read(manifest.signals)


def _popularity(table: pl.DataFrame) -> Float32Array:
    counts = table[POPULARITY]
    if not counts.dtype.is_integer() or counts.null_count() or (len(counts) and counts.cast(pl.Float64).min() < 0):  # type: ignore[operator]
        raise DataError(f"{ITEMS} has a column {POPULARITY} that does not hold a count from 0 for every item.")
    return counts.to_numpy().astype(np.float32)


def _id_type(path: Path) -> IdType:
    """What ids of the items are to the caller; strings in bundles that do not say."""
    return pl.Int64 if pl.read_parquet_metadata(path).get(ID_TYPE) == WHOLE_NUMBERS else pl.String


def write_bundle(
    directory: Path,
    model: Recommender,
    items: IdMap,
    *,
    popularity: np.ndarray,
    provenance: Provenance,
    item_table: pl.DataFrame | None = None,
    index_kind: str = "flat",
    index_queries: Float32Array | None = None,
    min_recall: float = 0.99,
    tiers: Tiers | None = None,
    shelves: Shelves | None = None,
    repeat: RepeatHead | None = None,
    ranker: Ranker | None = None,
    ranker_parts: Sequence[ModelPart] = (),
    signals: SignalRules | None = None,
) -> Manifest:
    """Write a bundle to `directory`, whole or not at all; what stood there before is replaced.

    Args:
        directory: its final place; nothing but a bundle is replaced there.
        model: of the catalogue.
        items: ids of the model's item rows.
        popularity: users of each item, shape (n_items,).
        provenance: where the model comes from.
        item_table: metadata by `item_id`; rows of other items are left out, items without a row get nulls.
        index_kind: flat, hnsw, ivf, ivfpq or ondisk, for factorised models; or none, and the model itself is asked.
        index_queries: shape (n, d), with which an approximate index is measured.
        min_recall: what an approximate index must reach.
        tiers: what answers users of whom little is known; by default history, then popularity.
        shelves: what answers without a user; by default what is popular.
        repeat: what users buy again, over the same items.
        ranker: a second stage over the same items.
        ranker_parts: what there is to say of each of its further models.
        signals: what events say of a user's taste, as the model has learned it.

    Raises:
        ConfigError: something else than a bundle stands there.
        DataError: weights are not finite, a tier lacks what it needs, or model, items and popularity are of different
            catalogues.
        RetrievalError: the index misses `min_recall`.
    """
    if not model.n_items == len(items) == len(popularity):
        raise DataError(
            f"The model has {model.n_items} items, {len(items)} ids and {len(popularity)} counts were given."
        )
    for name, tensor in model.tensors().items():
        check_finite(f"The model's tensor {name}", tensor)
    if repeat is not None and repeat.n_items != len(items):
        raise DataError(f"The repeat-purchase head has {repeat.n_items} items, the model {len(items)}.")
    tiers, name = tiers or Tiers(), catalog.name_of(model)
    _check_tiers(tiers, model)
    directory = check_output(directory, WRITTEN)
    remove_partials(directory)
    report: dict[str, object] = {}
    with atomic_directory(directory, WRITTEN) as temporary:
        write_tensors(temporary / WEIGHTS, model.tensors())
        (temporary / WEIGHTS).chmod(0o644)
        told = {ID_TYPE: WHOLE_NUMBERS} if items.dtype is pl.Int64 else None
        _item_rows(items, popularity, item_table).write_parquet(temporary / ITEMS, metadata=told)
        if isinstance(model, FactorizedRecommender) and index_kind != NO_INDEX:
            with vectors_for(index_kind, model, temporary) as vectors:
                made = write_index(temporary, vectors, index_kind, queries=index_queries, min_recall=min_recall)
            report = asdict(made)
        _write_tiers(temporary, tiers)
        if shelves is not None:
            shelves.write(temporary)
        if repeat is not None:
            write_repeat(temporary, repeat)
        if ranker is not None:
            write_ranker(temporary, ranker, ranker_parts)
        manifest = describe(
            temporary,
            model=name,
            settings=catalog.settings_of(model),
            n_items=len(items),
            index=report,
            provenance=provenance,
            ladder={} if tiers.policy == TierPolicy() else tiers.policy.as_settings(),
            signals=None if signals is None else signals.described(),
            plugins=catalog.distributions(name, model.config) | libraries_of(ranker),  # type: ignore[attr-defined]
        )
        write_manifest(temporary, manifest)
    return manifest


def libraries_of(ranker: Ranker | None) -> dict[str, str]:
    """Versions of what a second stage needs besides."""
    return {} if ranker is None else {"lightgbm": version("lightgbm")}


def write_repeat(directory: Path, repeat: RepeatHead) -> None:
    """Write a repeat-purchase head into a bundle."""
    save_file(repeat.tensors(), directory / REPEAT)
    (directory / REPEAT).chmod(0o644)


def _write_tiers(directory: Path, tiers: Tiers) -> None:
    if tiers.schema is not None:
        (directory / SCHEMA).write_text(tiers.schema.to_json())
    if tiers.segments is not None:
        save_file(tiers.segments.tensors(), directory / SEGMENTS)
        (directory / SEGMENTS).chmod(0o644)
    if tiers.content is not None:
        (directory / ITEM_SCHEMA).write_text(tiers.content.schema.to_json())
        save_file(tiers.content.tensors(), directory / CONTENT_MAP)
        (directory / CONTENT_MAP).chmod(0o644)


def _read_repeat(directory: Path, manifest: Manifest) -> RepeatHead | None:
    if REPEAT not in manifest.files:
        return None
    head = RepeatHead(manifest.n_items)
    head.load_tensors(load_file(directory / REPEAT))
    return head


def _read_tiers(directory: Path, manifest: Manifest, model: Recommender) -> Tiers:
    schema = Schema.from_json((directory / SCHEMA).read_bytes()) if SCHEMA in manifest.files else None
    segments = None
    if schema is not None and SEGMENTS in manifest.files:
        segments = SegmentPopularity.from_tensors(load_file(directory / SEGMENTS), manifest.n_items, schema.width)
    content = None
    if ITEM_SCHEMA in manifest.files and CONTENT_MAP in manifest.files and isinstance(model, FactorizedRecommender):
        item_schema = Schema.from_json((directory / ITEM_SCHEMA).read_bytes())
        width = model.item_vectors().shape[1]
        content = ContentMap.from_tensors(item_schema, load_file(directory / CONTENT_MAP), width)
    tiers = Tiers(TierPolicy.from_settings(manifest.ladder), schema, segments, content)
    _check_tiers(tiers, model)
    return tiers


def _check_tiers(tiers: Tiers, model: Recommender) -> None:
    conditional = tiers.schema is not None and takes_metadata(model)
    if tiers.schema is not None and takes_metadata(model) and model.n_features != tiers.schema.width:
        raise DataError(f"The model takes metadata of {model.n_features} columns, the schema has {tiers.schema.width}.")
    present = {POSTERIOR: conditional, PRIOR: conditional, SEGMENT: tiers.segments is not None}
    for tier in sorted(tiers.policy.named):
        if not present.get(tier, True):
            raise DataError(f"The tier policy names the tier {tier!r}, and there is nothing that could answer on it.")
    if tiers.policy.are_weighted and tiers.segments is None:
        raise DataError("The tier policy lets segment popularity count beside a tier, and there is none.")


def _item_rows(items: IdMap, popularity: np.ndarray, table: pl.DataFrame | None) -> pl.DataFrame:
    rows = pl.DataFrame({ITEM: items.values, POPULARITY: popularity.astype(np.int64)})
    if table is None:
        return rows
    extra = table.drop(POPULARITY, strict=False).unique(ITEM, keep="first")
    return rows.join(extra, on=ITEM, how="left", maintain_order="left")
