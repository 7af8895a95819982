"""DatasetDir: where the tables of one dataset lie.

DATASET/
    interactions.parquet    clean interactions, all of them, sorted by user and order (ingest/table_schemas.py)
    dislikes.parquet        one row a (user, item) that the user dislikes, likewise; only where rules say what that is
    repeats.parquet         every event of a (user, item) that occurs more than once, likewise, and every event against
                            an item, with a weight below 0; only where there is one
    given_test.parquet      user_id, item_id of the published test part; only where the dataset came with one
    users.parquet           metadata a user, one row an id; optional
    items.parquet           metadata an item, one row an id; optional
    fields.json             which columns of these two say something, and how they are read; optional
    quarantine.parquet      rows that broke the contract, with their reason
    losses.parquet          rows that each rule took, a user and an item: what `recsys explain-data` reads
    summary.json            what ingest counted
    erased.json             digests of users who were erased (recsys_vae/data/erased_users.py); optional
    changes/                what appended logs changed of large tables (recsys_vae/data/changed_tables.py); optional
    accepted/               what more logs are appended to (ingest/accepted.py); optional
    splits/NAME/            one folder a split (split.py)
    studies/NAME/           one folder a search of settings (study.py)
    comparisons/NAME/       one folder a comparison of models (selection/record.py)
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from recsys_vae.data.changed_tables import change_files, scan_changed
from recsys_vae.data.columns import HELD_OUT_MATRICES, ITEM, TIMESTAMP, TRAINING_MATRICES, USER, WEIGHT
from recsys_vae.data.erased_users import ERASED
from recsys_vae.data.signal_rules import Keep, SignalRules
from recsys_vae.errors import ConfigError, DataError
from recsys_vae.frames import scan_table
from recsys_vae.home import dataset_folder, existing_dataset, home
from recsys_vae.outputs import ANYTHING, DirectoryProduct, check_output

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SIGNALS = ("dislikes", "dislike_below", "keep")
_MATRIX = ("indptr.npy", "indices.npy", "data.npy")
SPLIT_FILES = (
    "split.json",
    "items.arrow",
    *(f"{part}/{file}" for part in ("train", "refit") for file in ("users.arrow", *_MATRIX)),
    *(f"{part}/users.arrow" for part in ("validation", "test")),
    *(
        f"{part}/{kind}/{file}"
        for part in ("validation", "test")
        for kind in ("histories", "targets", *HELD_OUT_MATRICES)
        for file in _MATRIX
    ),
    *(f"{part}/{kind}/{file}" for part in ("train", "refit") for kind in TRAINING_MATRICES for file in _MATRIX),
)
STUDY_FILES = ("study.db", "study.db-*", "trial.safetensors", ".trial.safetensors.*.partial", "best.toml",
               ".best.toml.*.partial", ".lock")  # fmt: skip
COMPARISON_FILES = tuple(
    pattern
    for file in ("comparison.json", "values.npz", "best.toml", "page.html", "*.safetensors", "*.weights")
    for pattern in (file, f".{file}.*.partial", f".{file}.lock")
)
_FILES = (
    *(
        f"{table}.parquet"
        for table in ("interactions", "dislikes", "repeats", "given_test", "users", "items", "quarantine", "losses")
    ),
    "fields.json",
    "summary.json",
    ERASED,
    *(f"changes/{table}-*.parquet" for table in ("touched", "interactions", "dislikes", "repeats", "losses")),
    *(f"accepted/{file}" for file in ("state.json", "kept.arrow", "rows-*.arrow")),
    *(f"accepted/{kind}-*.arrow" for kind in ("users", "items", "events", "dropped")),
    *(f"splits/*/{file}" for file in SPLIT_FILES),
    *(f"splits/.*.{left}/{ANYTHING}" for left in ("partial", "replaced")),
    *(f"{folder}/.*.lock" for folder in ("splits", "studies", "comparisons")),
    *(f"studies/*/{file}" for file in STUDY_FILES),
    *(f"comparisons/*/{file}" for file in COMPARISON_FILES),
)


def _contents(summary: Mapping[str, Any]) -> tuple[str, ...] | None:
    return _FILES if {"dataset", "rows_in", "kept"} <= summary.keys() else None


WRITTEN = DirectoryProduct("a dataset of `recsys ingest`", "summary.json", _contents)
"""What ingesting may replace."""

TABLE = "interactions.parquet"
LONGEST_NAME = 200
"""Bytes of a dataset's name: hidden files beside it have longer names, and file systems take 255."""


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
            ConfigError: no dataset can have that name, or something else stands there that would be lost.
        """
        if not name_or_path.strip() or (name_or_path.startswith("~") and "/" not in name_or_path):
            raise ConfigError(f"{name_or_path!r} names no dataset (is a variable unset?). Give --to a name or a path.")
        is_path = "/" in name_or_path or name_or_path.startswith(".")
        name = Path(name_or_path).name
        if not name.isprintable() or "\\" in name or len(name.encode()) > LONGEST_NAME:
            raise ConfigError(
                f"{name!r} cannot name a dataset: expected printable characters other than \\, at most {LONGEST_NAME} "
                "bytes of them."
            )
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
    def dislikes_path(self) -> Path:
        """The pairs that are disliked, where rules say what that is."""
        return self.path / "dislikes.parquet"

    @property
    def repeats_path(self) -> Path:
        """The events of pairs that occur more than once, where there are some."""
        return self.path / "repeats.parquet"

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

    def comparison_path(self, name: str) -> Path:
        """Folder of a comparison; it need not exist yet.

        Raises:
            ConfigError: the name cannot be a folder's name.
        """
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{name!r} cannot name a comparison: letters, digits, dot, dash and underscore only.")
        return self.path / "comparisons" / name

    def splits(self) -> list[str]:
        """Names of the splits that exist."""
        return sorted(p.parent.name for p in (self.path / "splits").glob("*/split.json"))

    def studies(self) -> list[str]:
        """Names of the studies that exist."""
        return sorted(p.parent.name for p in (self.path / "studies").glob("*/study.db"))

    def comparisons(self) -> list[str]:
        """Names of the comparisons that exist."""
        return sorted(p.parent.name for p in (self.path / "comparisons").glob("*/comparison.json"))

    def interactions(self) -> pl.LazyFrame:
        """Clean interactions, lazily."""
        found = scan_changed(self.path, "interactions")
        return scan_table(self.interactions_path) if found is None else found

    def dislikes(self) -> pl.LazyFrame | None:
        """One row a pair that is disliked, weights above 0, lazily, by user; None where no rule says what that is."""
        return scan_changed(self.path, "dislikes")

    def repeats(self) -> pl.LazyFrame | None:
        """Every event of the pairs that occur more than once or that anything speaks against, lazily, by user; what
        speaks against has a weight below 0. None where there is none.
        """  # fmt: skip
        return scan_changed(self.path, "repeats")

    def changes(self) -> list[Path]:
        """Files that say what has changed since the tables were written."""
        return change_files(self.path)

    def events(self) -> pl.LazyFrame:
        """Every event that speaks for an item of the interactions, lazily, in their columns, by user.

        They are the interactions themselves where no pair occurs twice, and in datasets from before repeats were kept.
        """
        dislikes = self.dislikes()
        found = self.signed_events()
        if dislikes is None:
            return found
        liked = found.filter((pl.col(WEIGHT) > 0).fill_null(value=True))
        return liked.join(dislikes.select(USER, ITEM), on=(USER, ITEM), how="anti", maintain_order="left")

    def signed_events(self) -> pl.LazyFrame:
        """Every event of the interactions and dislikes, by user; weights are below 0 where it speaks against the item.

        Of a pair that is liked now, those that spoke against it before are among them, and the other way round.
        """
        repeats = self.repeats()
        if repeats is None:
            return self.interactions()
        pairs = repeats.select(USER, ITEM).unique()
        once = self.interactions().join(pairs, on=(USER, ITEM), how="anti", maintain_order="left")
        return once.merge_sorted(repeats, USER)

    def latest(self, before: int | None = None) -> str | None:
        """Time of the latest event in ISO 8601; None where some event has no time.

        Args:
            before: only events before this moment, in microseconds since 1970.
        """
        time = pl.col(TIMESTAMP)
        found = self.signed_events()
        events = found if before is None else found.filter(time.dt.epoch("us") < before)
        latest, untimed = (
            events.select(time.max().alias("latest"), time.null_count()).collect(engine="streaming").row(0)
        )
        return None if latest is None or untimed else str(latest.isoformat())

    def keep(self) -> Keep:
        """What stands for a (user, item) that occurs more than once, as ingest was told by `--keep`."""
        return self.signals().keep

    def signals(self) -> SignalRules:
        """What events say, as ingest was told; weights of events of some files only are no part of it."""
        try:
            told = json.loads(self.summary_path.read_bytes())["rules"]
            known = {name: told[name] for name in _SIGNALS if told.get(name) is not None}
            return SignalRules.read({**known, "event_weights": dict(told.get("event_weights", ()))})
        except (OSError, ValueError, KeyError, TypeError, ConfigError):
            return SignalRules()

    def table(self, path: Path) -> pl.LazyFrame:
        """One of the optional tables, lazily.

        Raises:
            DataError: this dataset has no such table.
        """
        if not path.is_file():
            raise DataError(f"Dataset {self.name!r} has no {path.name}: it was ingested without one.")
        return scan_table(path)
