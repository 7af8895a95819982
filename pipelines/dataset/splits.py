"""Splits on disk: cut a dataset by a recipe, keep the parts as memory-mapped arrays, load them again.

DATASET/splits/NAME/
    split.json                       recipe, counts, sizes, fingerprint of the dataset it was cut from
    items.arrow                      the catalogue
    train/ [refit/]                  users.arrow and one sparse matrix; optional ones in folders of their names
    validation/ test/                users.arrow, histories/ and targets/, one sparse matrix each; likewise

A sparse matrix is three arrays, indptr.npy, indices.npy and data.npy. They are mapped copy-on-write: a reader may
write to its arrays, the files never change.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from scipy.sparse import csr_array

from pipelines.dataset import matrices
from pipelines.dataset.directory import SPLIT_FILES, DatasetDir
from pipelines.dataset.split_recipes import Recipe
from recsys_vae.arrays import check_sparse
from recsys_vae.atomic import atomic_directory, remove_partials
from recsys_vae.data.columns import HELD_OUT_MATRICES, TRAINING_MATRICES
from recsys_vae.data.ids import IdMap
from recsys_vae.data.interactions import Interactions
from recsys_vae.errors import ConfigError, DataError, UnknownNameError, fault_text
from recsys_vae.evaluation.splits import HeldOut, Split
from recsys_vae.outputs import DirectoryProduct, check_output

FORMAT: Literal[1] = 1
NPY_HEADER = 128
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def _contents(manifest: Mapping[str, Any]) -> tuple[str, ...] | None:
    return SPLIT_FILES if {"recipe", "dataset_fingerprint"} <= manifest.keys() else None


WRITTEN = DirectoryProduct("a split of `recsys split`", "split.json", _contents, is_part=True)
"""What making a split may replace."""


class FileStamp(BaseModel):
    """Size and time of a file: where both are unchanged, its content is not read again."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    bytes: int
    modified_ns: int

    @classmethod
    def of(cls, path: Path) -> "FileStamp":
        """The stamp of a file as it is now."""
        status = path.stat()
        return cls(bytes=status.st_size, modified_ns=status.st_mtime_ns)


class SplitManifest(BaseModel):
    """What `split.json` holds.

    Attributes:
        counts: what was left out, by reason.
        notes: who is asked all the same, and of whom one should know something.
        windows: of a cut in time, the first moment of `validation` and of `test`; empty in splits of early days.
        sizes: of each part; its users are those who are asked.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: Literal[1]
    name: str
    recipe: Recipe
    dataset: str
    dataset_fingerprint: str
    dataset_files: dict[str, FileStamp]
    counts: dict[str, int]
    notes: dict[str, int] = Field(default_factory=dict)
    windows: dict[str, datetime] = Field(default_factory=dict)
    sizes: dict[str, dict[str, int]]


def make_split(dataset: DatasetDir, recipe: Recipe, name: str | None = None) -> SplitManifest:
    """Cut a dataset and write the split under `splits/NAME`, whole or not at all; an older one is replaced.

    Args:
        name: of the split; its protocol when None.

    Raises:
        ConfigError: the name cannot be a folder's name, or a folder of that name is no split.
        DataError: the dataset lacks what the protocol needs.
    """
    name = recipe.protocol if name is None else name
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} cannot name a split: letters, digits, dot, dash and underscore only.")
    target = check_output(dataset.split_path(name), WRITTEN)
    stamps = _stamps(dataset)
    split = recipe.cut(dataset)
    manifest = SplitManifest(
        format=FORMAT,
        name=name,
        recipe=recipe,
        dataset=dataset.name,
        dataset_fingerprint=dataset_fingerprint(dataset),
        dataset_files=stamps,
        counts=split.counts,
        notes=split.notes,
        windows={part: EPOCH + timedelta(microseconds=moment) for part, moment in split.windows.items()},
        sizes=_sizes(split),
    )
    remove_partials(target)
    with atomic_directory(target, WRITTEN) as folder:
        _write(split, folder)
        (folder / "split.json").write_text(json.dumps(manifest.model_dump(mode="json"), indent=2) + "\n")
    return manifest


def read_manifest(dataset: DatasetDir, name: str) -> SplitManifest:
    """What is known of a split, without its arrays.

    Raises:
        UnknownNameError: the dataset has no such split.
        ConfigError: it has none at all.
        DataError: it was written in another format.
    """
    path = dataset.split_path(name) / "split.json"
    if name not in dataset.splits():
        if not dataset.splits():
            raise ConfigError(
                f"Dataset {dataset.name!r} has no split yet, so none named {name!r}. Make one: "
                f"recsys split {dataset.name} --protocol strong"
            )
        raise UnknownNameError(f"split of dataset {dataset.name!r}", name, dataset.splits())
    try:
        return SplitManifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(
            f"{path} does not describe a split in format {FORMAT} ({first['loc']}: {fault_text(first)}). Make it again."
        ) from error


def load_split(dataset: DatasetDir, name: str, half_life: float = math.inf) -> Split:
    """A split with its arrays memory-mapped.

    Args:
        half_life: days in which an event's weight halves; where it is finite, the split is cut again, alike, and its
            weights are made of the events that each part knows (`recsys_vae.data.signals`).

    Raises:
        UnknownNameError: the dataset has no such split.
        DataError: the dataset was ingested anew since, with other content; or the files are damaged.
    """
    manifest = read_manifest(dataset, name)
    check_fresh(dataset, manifest)
    if half_life != math.inf:
        return replace(manifest.recipe.cut(dataset, half_life), half_life=half_life)
    return _read(dataset.split_path(name), manifest)


def check_fresh(dataset: DatasetDir, manifest: SplitManifest) -> None:
    """Raise DataError where the dataset is no longer the one that the split was cut from."""
    if _stamps(dataset) == manifest.dataset_files:
        return
    if dataset_fingerprint(dataset) != manifest.dataset_fingerprint:
        raise DataError(
            f"Dataset {dataset.name!r} was ingested anew since split {manifest.name!r} was made, and its content "
            f"differs. Make the split again: recsys split {dataset.name} --protocol {manifest.recipe.protocol} "
            f"--name {manifest.name}"
        )


def dataset_fingerprint(dataset: DatasetDir) -> str:
    """SHA-256 over the content of the interactions, and of the other tables that splits are cut from, if any."""
    given = dataset.table(dataset.given_test_path) if dataset.given_test_path.is_file() else None
    tables = (dataset.interactions(), dataset.repeats(), dataset.dislikes(), given)
    return "+".join(matrices.fingerprint(table) for table in tables if table is not None)


def _stamps(dataset: DatasetDir) -> dict[str, FileStamp]:
    tables = (dataset.interactions_path, dataset.repeats_path, dataset.dislikes_path, dataset.given_test_path)
    paths = (*tables, *dataset.changes())
    return {path.name: FileStamp.of(path) for path in paths if path.is_file()}


def _sizes(split: Split) -> dict[str, dict[str, int]]:
    training = {"train": split.train} | ({"refit": split.refit} if split.refit is not None else {})
    sizes = {
        name: {"users": part.n_users, "items": part.n_items, "interactions": int(part.matrix.nnz)}
        | {kind: int(matrix.nnz) for kind, matrix in split.beside(name).items()}
        for name, part in training.items()
    }
    for name in ("validation", "test"):
        part = split.part(name)
        asked = part.asked()
        sizes[name] = {
            "users": len(asked.users), "shown": int(asked.histories.nnz), "targets": int(asked.targets.nnz)
        }  # fmt: skip
        sizes[name] |= {kind: int(matrix.nnz) for kind, matrix in asked.beside().items()}
    return sizes


def _write(split: Split, folder: Path) -> None:
    _write_ids(folder / "items.arrow", split.train.items)
    for name, training in (("train", split.train), ("refit", split.refit)):
        if training is not None:
            _write_matrix(folder / name, training.matrix)
            _write_ids(folder / name / "users.arrow", training.users)
            for kind, matrix in split.beside(name).items():
                _write_matrix(folder / name / kind, matrix)
    for name in ("validation", "test"):
        part = split.part(name)
        _write_matrix(folder / name / "histories", part.histories)
        _write_matrix(folder / name / "targets", part.targets)
        for kind, matrix in part.beside().items():
            _write_matrix(folder / name / kind, matrix)
        _write_ids(folder / name / "users.arrow", part.users)


def _read(folder: Path, manifest: SplitManifest) -> Split:
    items = _read_ids(folder / "items.arrow")

    def beside(part: str, kinds: Sequence[str], prefix: str = "") -> dict[str, csr_array]:
        there = [kind for kind in kinds if (folder / part / kind).is_dir()]
        return {prefix + kind: _read_matrix(folder / part / kind, len(items)) for kind in there}

    def training(name: str) -> Interactions:
        users = _read_ids(folder / name / "users.arrow")
        return Interactions(_read_matrix(folder / name, len(items)), users, items)

    def held_out(name: str) -> HeldOut:
        part = folder / name
        histories, targets = (_read_matrix(part / kind, len(items)) for kind in ("histories", "targets"))
        return HeldOut(_read_ids(part / "users.arrow"), histories, targets, **beside(name, HELD_OUT_MATRICES))

    return Split(
        protocol=manifest.recipe.protocol,
        train=training("train"),
        validation=held_out("validation"),
        test=held_out("test"),
        refit=training("refit") if "refit" in manifest.sizes else None,
        counts=manifest.counts,
        notes=manifest.notes,
        windows={part: (moment - EPOCH) // timedelta(microseconds=1) for part, moment in manifest.windows.items()},
        **beside("train", TRAINING_MATRICES, "train_"),
        **beside("refit", TRAINING_MATRICES, "refit_"),
    )


def _write_matrix(folder: Path, matrix: csr_array | None) -> None:
    if matrix is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("indptr", "indices", "data"):
        np.save(folder / f"{name}.npy", getattr(matrix, name))


def _read_matrix(folder: Path, n_columns: int) -> csr_array:
    try:
        indptr, indices, data = (_map_array(folder / f"{name}.npy") for name in ("indptr", "indices", "data"))
        check_sparse(folder.name, data, indices, indptr, (indptr.size - 1, n_columns))
        return csr_array((data, indices, indptr), shape=(indptr.size - 1, n_columns), copy=False)
    except (OSError, ValueError, EOFError, DataError) as error:
        raise DataError(f"The split in {folder.parent} is damaged ({error}). Make it again.") from error


def _map_array(path: Path) -> NDArray[Any]:
    """An array mapped copy-on-write; one without elements, which cannot be mapped, is read."""
    empty = path.stat().st_size <= NPY_HEADER
    mapped: NDArray[Any] = np.load(path, mmap_mode=None if empty else "c", allow_pickle=False)
    return mapped


def _write_ids(path: Path, ids: IdMap) -> None:
    pl.DataFrame({"id": ids.values}).write_ipc(path, compression="uncompressed")


def _read_ids(path: Path) -> IdMap:
    try:
        return IdMap(pl.scan_ipc(path, glob=False).collect()["id"])
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"The split file {path} is damaged ({error}). Make the split again.") from error
