"""DatasetDir: where the tables of one dataset lie.

DATASET/
    interactions.parquet    clean interactions, all of them, sorted by user and order (ingest/table_schemas.py)
    given_test.parquet      user_id, item_id of the published test part; only where the dataset came with one
    users.parquet           metadata a user, one row an id; optional
    items.parquet           metadata an item, one row an id; optional
    fields.json             which columns of these two say something, and how they are read; optional
    quarantine.parquet      rows that broke the contract, with their reason
    losses.parquet          rows that each rule took, a user and an item: what `recsys explain-data` reads
    summary.json            what ingest counted
    splits/NAME/            one folder a split (split.py)
    studies/NAME/           one folder a search of settings (study.py)
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from recsys_vae.errors import ConfigError, DataError
from recsys_vae.home import dataset_folder, existing_dataset, home
from recsys_vae.outputs import ANYTHING, DirectoryProduct, check_output

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_MATRIX = ("indptr.npy", "indices.npy", "data.npy")
SPLIT_FILES = (
    "split.json",
    "items.arrow",
    *(f"{part}/{file}" for part in ("train", "refit") for file in ("users.arrow", *_MATRIX)),
    *(f"{part}/users.arrow" for part in ("validation", "test")),
    *(
        f"{part}/{kind}/{file}"
        for part in ("validation", "test")
        for kind in ("histories", "targets")
        for file in _MATRIX
    ),
)
STUDY_FILES = ("study.db", "study.db-*", "trial.safetensors", ".trial.safetensors.*.partial", "best.toml",
               ".best.toml.*.partial", ".lock")  # fmt: skip
_FILES = (
    *(f"{table}.parquet" for table in ("interactions", "given_test", "users", "items", "quarantine", "losses")),
    "fields.json",
    "summary.json",
    *(f"splits/*/{file}" for file in SPLIT_FILES),
    *(f"splits/.*.{left}/{ANYTHING}" for left in ("partial", "replaced")),
    *(f"studies/*/{file}" for file in STUDY_FILES),
)


def _contents(summary: Mapping[str, Any]) -> tuple[str, ...] | None:
    return _FILES if {"dataset", "rows_in", "kept"} <= summary.keys() else None


WRITTEN = DirectoryProduct("a dataset of `recsys ingest`", "summary.json", _contents)
"""What ingesting may replace."""

TABLE = "interactions.parquet"


@dataclass(frozen=True)
class DatasetDir:
    """One dataset on disk; reading is lazy, nothing is opened before it is asked for."""

    path: Path

    @classmethod
    def at(cls, name_or_path: str) -> "DatasetDir":
        """A plain name is a folder of RECSYS_HOME/datasets, anything with a slash a path. It need not exist yet."""
        return cls(dataset_folder(name_or_path))

    @classmethod
    def to_write(cls, name_or_path: str) -> "DatasetDir":
        """The same, for a dataset that is to be written.

        Raises:
            ConfigError: the name is empty, or something else stands there that would be lost.
        """
        if not name_or_path.strip() or (name_or_path.startswith("~") and "/" not in name_or_path):
            raise ConfigError(f"{name_or_path!r} names no dataset (is a variable unset?). Give --to a name or a path.")
        is_path = "/" in name_or_path or name_or_path.startswith(".")
        return cls(check_output(Path(name_or_path) if is_path else home() / "datasets" / name_or_path, WRITTEN))

    @classmethod
    def open(cls, name_or_path: str) -> "DatasetDir":
        """The same, for a dataset that must exist.

        Raises:
            UnknownNameError: nothing was ingested under that name.
        """
        return cls(existing_dataset(name_or_path, TABLE))

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.name

    @property
    def interactions_path(self) -> Path:
        """The clean interactions."""
        return self.path / TABLE

    @property
    def given_test_path(self) -> Path:
        """The published test part, where there is one."""
        return self.path / "given_test.parquet"

    @property
    def users_path(self) -> Path:
        """Metadata of users, where there is some."""
        return self.path / "users.parquet"

    @property
    def items_path(self) -> Path:
        """Metadata of items, where there is some."""
        return self.path / "items.parquet"

    @property
    def fields_path(self) -> Path:
        """Declared fields of the metadata, where there are some."""
        return self.path / "fields.json"

    @property
    def quarantine_path(self) -> Path:
        """Rows that broke the contract."""
        return self.path / "quarantine.parquet"

    @property
    def losses_path(self) -> Path:
        """Rows that each rule took, a user and an item."""
        return self.path / "losses.parquet"

    @property
    def summary_path(self) -> Path:
        """What ingest counted."""
        return self.path / "summary.json"

    def split_path(self, name: str) -> Path:
        """Folder of a split; it need not exist yet."""
        return self.path / "splits" / name

    def study_path(self, name: str) -> Path:
        """Folder of a study; it need not exist yet.

        Raises:
            ConfigError: the name cannot be a folder's name.
        """
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{name!r} cannot name a study: letters, digits, dot, dash and underscore only.")
        return self.path / "studies" / name

    def splits(self) -> list[str]:
        """Names of the splits that exist."""
        return sorted(p.parent.name for p in (self.path / "splits").glob("*/split.json"))

    def interactions(self) -> pl.LazyFrame:
        """Clean interactions, lazily."""
        return pl.scan_parquet(self.interactions_path, glob=False)

    def table(self, path: Path) -> pl.LazyFrame:
        """One of the optional tables, lazily.

        Raises:
            DataError: this dataset has no such table.
        """
        if not path.is_file():
            raise DataError(f"Dataset {self.name!r} has no {path.name}: it was ingested without one.")
        return pl.scan_parquet(path, glob=False)
