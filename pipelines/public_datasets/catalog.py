"""Named public datasets: where they lie, and where they are fetched from. Their cards are in data/cards/."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from pipelines.dataset.fields import Fields
from pipelines.ingest.log_files import ColumnMap
from pipelines.ingest.log_sources import Source
from pipelines.public_datasets import formats
from pipelines.public_datasets.download import Checksum, Origin, WebFile, Wheel
from recsys_vae.atomic import atomic_directory, remove_partials
from recsys_vae.data.features import Field
from recsys_vae.errors import DataError, UnavailableError, UnknownNameError
from recsys_vae.frames import scan_table
from recsys_vae.home import home
from recsys_vae.locks import exclusive
from recsys_vae.outputs import DirectoryProduct, check_output, new_directory

DATA_DIR_VARIABLE = "RECSYS_DATA_DIR"
GROUPLENS = "https://files.grouplens.org/datasets/movielens"
MOVIELENS_COLUMNS = ColumnMap((("item_id", "movie_id"), ("weight", "rating")))
LIGHTGCN = "https://raw.githubusercontent.com/kuandeng/LightGCN/b067ec05f16a24e0e1efe63cd82385f0c469af20/Data/gowalla"


@dataclass(frozen=True)
class Release:
    """One publication of a dataset: its files, and how they become tables."""

    origins: tuple[Origin, ...]
    read: Callable[[Sequence[Path], Path], None]


@dataclass(frozen=True)
class NamedDataset:
    """A public dataset.

    Attributes:
        name: under which it is asked for.
        title: for people.
        licence: in a few words; the card has the rest.
        rows: how many interactions the publisher counts, per log.
        releases: tried in this order.
        logs: tables that hold interactions.
        given_test: tables of the published test part.
        users: metadata of users.
        items: metadata of items.
        mapping: which of the columns is which.
        fields: which columns of the metadata models may use.
    """

    name: str
    title: str
    licence: str
    rows: tuple[int, ...]
    releases: tuple[Release, ...]
    logs: tuple[str, ...] = ("ratings.parquet",)
    given_test: tuple[str, ...] = ()
    users: str | None = None
    items: str | None = None
    mapping: ColumnMap = MOVIELENS_COLUMNS
    fields: Fields = field(default_factory=Fields)

    @property
    def tables(self) -> tuple[str, ...]:
        """File names of all tables."""
        metadata = tuple(name for name in (self.users, self.items) if name)
        return self.logs + self.given_test + metadata

    def is_in(self, folder: Path) -> bool:
        """Whether all tables are there."""
        return all((folder / table).is_file() for table in self.tables)

    def source(self, folder: Path) -> Source:
        """The tables of a folder, ready to ingest."""
        return Source(
            logs=tuple(folder / name for name in self.logs),
            mapping=self.mapping,
            given_test=tuple(folder / name for name in self.given_test),
            users=folder / self.users if self.users else None,
            items=folder / self.items if self.items else None,
            fields=self.fields,
        )


def find_dataset(name: str) -> NamedDataset:
    """A dataset by its name.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in DATASETS:
        raise UnknownNameError("public dataset", name, DATASETS)
    return DATASETS[name]


def locate(dataset: NamedDataset) -> Path | None:
    """The folder that holds the dataset: in RECSYS_DATA_DIR, else where `fetch` puts it; None where neither has it."""
    named = os.environ.get(DATA_DIR_VARIABLE)
    folders = [Path(named).expanduser() / dataset.name] if named else []
    return next((folder for folder in (*folders, _fetched(dataset)) if dataset.is_in(folder)), None)


def fetch(dataset: NamedDataset, to: Path | None = None) -> Path:
    """Download the dataset, unless it lies there already, and return its folder.

    Raises:
        ConfigError: something else lies there.
        UnavailableError: no place that publishes it answers; the message says what each of them said.
        DataError: what came is not what was published.
        BusyError: another process downloads it.
    """
    folder, product = to or _fetched(dataset), _product(dataset, to)
    if dataset.is_in(folder):
        return folder
    folder = check_output(folder, product)
    remove_partials(folder)
    complaints = []
    for release in dataset.releases:
        try:
            with exclusive(_downloads(dataset)):
                files = [origin.download(_downloads(dataset)) for origin in release.origins]
        except UnavailableError as error:
            complaints.append(str(error))
            continue
        with atomic_directory(folder, product) as temporary:
            release.read(files, temporary)
            _check_rows(dataset, temporary)
        return folder
    raise UnavailableError(
        f"{dataset.title} cannot be fetched. {' '.join(complaints)} "
        f"Or put its tables into a folder {dataset.name!r} and name the folder above it in {DATA_DIR_VARIABLE} "
        "(data/README.md has the layout)."
    )


def _product(dataset: NamedDataset, to: Path | None) -> DirectoryProduct:
    """Under RECSYS_HOME tables of an earlier version are replaced; elsewhere they may be anybody's."""
    return new_directory("an empty folder") if to else new_directory(f"the tables of {dataset.name}", dataset.tables)


def _check_rows(dataset: NamedDataset, folder: Path) -> None:
    for table, expected in zip(dataset.logs + dataset.given_test, dataset.rows, strict=True):
        found = scan_table(folder / table).select(pl.len()).collect().item()
        if found != expected:
            raise DataError(f"{dataset.title}: {table} has {found:,} rows, the publisher counts {expected:,}.")


def _fetched(dataset: NamedDataset) -> Path:
    return home() / "public" / dataset.name


def _downloads(dataset: NamedDataset) -> Path:
    return home() / "downloads" / dataset.name


def _grouplens(file: str, md5: str) -> WebFile:
    return WebFile(f"{GROUPLENS}/{file}", Checksum("md5", md5))


_RECBOLE = Wheel(
    "recbole==1.2.1", Checksum("sha256", "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407")
)
_AGE_GROUP, _AGE = Field("age", "category"), Field("age", "number")
_GENRES = (Field("genres", "set"), Field("title", "text"))


def _people(age: Field) -> tuple[Field, ...]:
    return Field("gender", "category"), age, Field("occupation", "category")


_RESEARCH = "research use, no redistribution (GroupLens)"

DATASETS: dict[str, NamedDataset] = {
    dataset.name: dataset
    for dataset in (
        NamedDataset(
            name="movielens-100k",
            title="MovieLens 100K",
            licence=_RESEARCH,
            rows=(100_000,),
            releases=(
                Release((_RECBOLE,), formats.read_ml100k_wheel),
                Release((_grouplens("ml-100k.zip", "0e33842e24a9c977be4e0107933c0723"),), formats.read_ml100k_zip),
            ),
            users="users.parquet",
            items="movies.parquet",
            fields=Fields(_people(_AGE), _GENRES),
        ),
        NamedDataset(
            name="movielens-1m",
            title="MovieLens 1M",
            licence=_RESEARCH,
            rows=(1_000_209,),
            releases=(Release((_grouplens("ml-1m.zip", "c4d9eecfca2ab87c1945afe126590906"),), formats.read_ml1m_zip),),
            users="users.parquet",
            items="movies.parquet",
            fields=Fields(_people(_AGE_GROUP), _GENRES),
        ),
        NamedDataset(
            name="movielens-20m",
            title="MovieLens 20M",
            licence=_RESEARCH,
            rows=(20_000_263,),
            releases=(
                Release(
                    (_grouplens("ml-20m.zip", "cd245b17a1ae2cc31bb14903e1204af3"),), formats.read_movielens_csv_zip
                ),
            ),
            items="movies.parquet",
            fields=Fields(items=_GENRES),
        ),
        NamedDataset(
            name="movielens-32m",
            title="MovieLens 32M",
            licence=_RESEARCH,
            rows=(32_000_204,),
            releases=(
                Release(
                    (_grouplens("ml-32m.zip", "d472be332d4daa821edc399621853b57"),), formats.read_movielens_csv_zip
                ),
            ),
            items="movies.parquet",
            fields=Fields(items=_GENRES),
        ),
        NamedDataset(
            name="gowalla",
            title="Gowalla, LightGCN's split",
            licence="not stated; check-ins collected by SNAP",
            rows=(810_128, 217_242),
            releases=(
                Release(
                    (
                        WebFile(f"{LIGHTGCN}/train.txt", Checksum("git", "a27782bd7a1d4d0744148dc0460ea94da74763f2")),
                        WebFile(f"{LIGHTGCN}/test.txt", Checksum("git", "9ed5af4b5d21511f33740b4e22e3852f45671800")),
                    ),
                    formats.read_adjacency_lists,
                ),
            ),
            logs=("train.parquet",),
            given_test=("test.parquet",),
            mapping=ColumnMap(),
        ),
    )
}
