"""The second stage of a bundle, as files beside its model.

ranker.json             which models there are besides, how many candidates each gives, and which columns count
ranker.txt              the trees, in LightGBM's text
ranker-N.safetensors    what the Nth of the other models has learned
"""

import json
from collections.abc import Container, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from safetensors.numpy import load_file, save_file

from recsys_vae.bundles.item_lists import ItemLists
from recsys_vae.bundles.manifest import Manifest
from recsys_vae.errors import DataError
from recsys_vae.models import catalog
from recsys_vae.models.loading import create_to_load
from recsys_vae.protocols import Float32Array, Recommender, takes_metadata, takes_order
from recsys_vae.second_stage.candidates import Candidates
from recsys_vae.second_stage.item_columns import ItemColumns
from recsys_vae.second_stage.ranker import Ranker
from recsys_vae.second_stage.trees import Trees
from recsys_vae.settings import from_plain

RANKER, TREES = "ranker.json", "ranker.txt"
MOST_MODELS = 16


@dataclass(frozen=True)
class Described:
    """What ranker.json holds.

    Attributes:
        depth: candidates of each model.
        numbers: columns of items that are numbers; `popularity`, `age`, `recent` and `growth` are counted.
        values: columns of items that are values.
        has_position: whether trees were told the positions of impressions.
        has_recency: whether they were told how long ago users and items had their last events.
        features: names of what the trees go by, in their order.
        models: the models besides the bundle's own, see `ModelPart`.
    """

    depth: int
    numbers: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    has_position: bool = False
    features: tuple[str, ...] = ()
    models: tuple[dict[str, Any], ...] = field(default_factory=tuple)
    has_recency: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.depth, int) or isinstance(self.depth, bool) or not 1 <= self.depth <= 1_000_000:
            raise DataError(f"Candidates of a model are a number from 1, got {self.depth!r}.")
        for name in ("numbers", "values", "features"):
            told = getattr(self, name)
            if not isinstance(told, list | tuple) or not all(isinstance(one, str) for one in told):
                raise DataError(f"Expected {name} of a second stage as names, got {told!r}.")
        if not isinstance(self.models, list | tuple) or len(self.models) > MOST_MODELS:
            raise DataError(f"Expected at most {MOST_MODELS} models, got {self.models!r}.")
        if not (isinstance(self.has_position, bool) and isinstance(self.has_recency, bool)):
            raise DataError(f"has_position and has_recency are true or false, got {self!r}.")


@dataclass(frozen=True)
class ModelPart:
    """One of the models besides.

    Attributes:
        model: its name in the catalogue.
        settings: its configuration.
        version: of the bundle that it comes from.
        training: settings of its training loop; empty for closed-form models, and in bundles from before it was kept.
        epochs: passes over the data that its weights have seen; likewise 0.
        learned_from: fingerprint of the interactions that it has learned from; empty likewise.
    """

    model: str
    settings: dict[str, Any]
    version: str
    training: dict[str, Any] = field(default_factory=dict)
    epochs: int = 0
    learned_from: str = ""

    def __post_init__(self) -> None:
        texts, tables = (self.model, self.version, self.learned_from), (self.settings, self.training)
        is_known = all(isinstance(one, str) for one in texts) and all(isinstance(one, dict) for one in tables)
        if not (is_known and isinstance(self.epochs, int)):
            raise DataError(f"Expected a model's name, settings, version and training, got {self!r}.")

    @classmethod
    def of(cls, manifest: Manifest) -> "ModelPart":
        """The model of a bundle as a part of another one's second stage."""
        origin = manifest.provenance
        return cls(
            manifest.model,
            dict(manifest.settings),
            manifest.version,
            dict(origin.training),
            origin.epochs,
            origin.dataset_fingerprint,
        )


def check_further(name: str, model: Recommender) -> None:
    """Raise DataError unless a model needs nothing but histories."""
    if takes_metadata(model) or takes_order(model):
        raise DataError(
            f"{name} goes by the order of histories or by metadata of users. One such model may stand first in a "
            "second stage; those beside it go by histories alone."
        )


def counted_columns(lists: ItemLists, popularity: Float32Array) -> dict[str, Float32Array]:
    """Numbers of items that a bundle has counted, as of its data, shape (n_items,) each.

    Returns:
        `popularity`, log of the share of all users' items; and where events have times `recent`, the same of those of
        the recent window, `growth`, log of recent events over those that the window before it makes expect, and `age`,
        log of the days since the item came, NaN where nobody has touched it.
    """
    found = {"popularity": _log_shares(popularity)}
    if lists.windows is not None:
        recent, baseline, ages = lists.windows.recent, lists.windows.baseline, lists.windows.ages
        found["recent"] = _log_shares(recent)
        found["growth"] = np.log(recent + 1) - np.log(baseline * (recent.sum() / max(baseline.sum(), 1)) + 1)
        found["age"] = np.log1p(np.where(ages >= 0, ages, np.nan))
    return {name: values.astype(np.float32) for name, values in found.items()}


def last_days(lists: ItemLists, *, is_wanted: bool = True) -> Float32Array | None:
    """Day of each item's last event, NaN where there is none, shape (n_items,); None where it is not wanted.

    Raises:
        DataError: it is wanted, and the bundle does not know it.
    """
    if not is_wanted:
        return None
    if lists.windows is None or lists.windows.last_days is None:
        raise DataError(
            "The bundle does not say when its items had their last events, by which the second stage ranks."
        )
    found = lists.windows.last_days
    return np.where(found >= 0, found, np.float32(np.nan)).astype(np.float32)


def _log_shares(counts: Float32Array) -> Float32Array:
    smoothed = counts.astype(np.float64) + 0.5
    return np.asarray(np.log(smoothed / max(smoothed.sum(), 0.5)), dtype=np.float32)


def moved(
    ranker: Ranker,
    further: Sequence[tuple[str, Recommender]],
    table: pl.DataFrame,
    lists: ItemLists,
    popularity: Float32Array,
) -> Ranker:
    """The trees of a second stage over other weights of the same models, or other items.

    Args:
        ranker: whose trees are taken.
        further: names of the models beside the first, and the models.
        table: of the items, in row order.
        lists: what was counted of them.
        popularity: users of each item, shape (n_items,).

    Raises:
        DataError: the items lack a column that it ranks by, or the models are others.
    """
    old = ranker.candidates
    if (given := [name for name, _ in further]) != (wanted := [name for name, _ in old.further]):
        raise DataError(f"The trees are of {', '.join(wanted) or 'no further model'}, not of {', '.join(given)}.")
    numbers, values = tuple(old.columns.numbers), tuple(old.columns.shares)
    columns = ItemColumns.of(table, counted_columns(lists, popularity), numbers, values)
    days = last_days(lists, is_wanted=old.has_recency)
    return Ranker(replace(old, further=further, columns=columns, last_days=days), ranker.trees)


def write_ranker(directory: Path, ranker: Ranker, parts: Sequence[ModelPart]) -> None:
    """Write the files into a bundle.

    Args:
        directory: the bundle.
        ranker: its second stage.
        parts: what there is to say of each of its further models.
    """
    candidates = ranker.candidates
    parts = [
        replace(part, model=name, settings=catalog.settings_of(model))
        for (name, model), part in zip(candidates.further, parts, strict=True)
    ]
    described = Described(
        candidates.depth,
        tuple(candidates.columns.numbers),
        tuple(candidates.columns.shares),
        candidates.has_position,
        candidates.names,
        tuple(asdict(part) for part in parts),
        candidates.has_recency,
    )
    told = asdict(described)
    if not described.has_recency:
        del told["has_recency"]  # versions from before there was any read the bundle, too
    (directory / RANKER).write_text(json.dumps(told, indent=2) + "\n")
    (directory / TREES).write_text(str(ranker.trees))
    for number, (_, model) in enumerate(candidates.further, start=1):
        path = directory / _weights(number)
        save_file({name: np.ascontiguousarray(value) for name, value in model.tensors().items()}, path)
        path.chmod(0o644)  # safetensors makes it readable to its owner only


def read_ranker(
    directory: Path,
    files: Container[str],
    first: str,
    table: pl.DataFrame,
    lists: ItemLists,
    popularity: Float32Array,
) -> Ranker | None:
    """Read the files of a bundle; None where it has none.

    Args:
        directory: the bundle.
        files: names of its files.
        first: name of the bundle's own model.
        table: of its items, in row order.
        lists: what was counted of its items.
        popularity: users of each item.

    Raises:
        DataError: they are damaged, or name columns that the items do not have.
        UnknownNameError: they name something that this version does not know.
        MissingExtraError: LightGBM is not installed.
    """
    if RANKER not in files:
        return None
    content = json.loads((directory / RANKER).read_bytes())
    told = from_plain(Described, content, "a second stage")
    further = [
        (part.model, _model(directory, number, part, table.height))
        for number, part in enumerate(parts_in(directory, files), start=1)
    ]
    columns = ItemColumns.of(table, counted_columns(lists, popularity), told.numbers, told.values)
    days = last_days(lists, is_wanted=told.has_recency)
    candidates = Candidates(first, further, columns, told.depth, told.has_position, days)
    if candidates.names != tuple(told.features):
        raise DataError(
            f"The second stage goes by {', '.join(told.features)}; these columns and models give "
            f"{', '.join(candidates.names)}."
        )
    return Ranker(candidates, Trees((directory / TREES).read_text(), len(candidates.names)))


def parts_in(directory: Path, files: Container[str]) -> tuple[ModelPart, ...]:
    """What a bundle says of the further models of its second stage; empty where it has none.

    Raises: as `read_ranker`.
    """
    if RANKER not in files:
        return ()
    told = from_plain(Described, json.loads((directory / RANKER).read_bytes()), "a second stage")
    return tuple(from_plain(ModelPart, part, "a model of the second stage") for part in told.models)


def is_part(name: str) -> bool:
    """Whether a file of a bundle is one of its second stage."""
    return name in (RANKER, TREES) or (name.startswith("ranker-") and name.endswith(".safetensors"))


def _model(directory: Path, number: int, part: ModelPart, n_items: int) -> Recommender:
    model = create_to_load(part.model, n_items, catalog.configure(part.model, part.settings))
    model.load_tensors(load_file(directory / _weights(number)))
    check_further(part.model, model)
    return model


def _weights(number: int) -> str:
    return f"ranker-{number}.safetensors"
