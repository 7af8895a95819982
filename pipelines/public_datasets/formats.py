"""Published archives, read as files of their formats (`pipelines/ingest/formats`), to the tables of a dataset here.

Every function takes the files that were downloaded and a folder, and writes Parquet tables into it. Their layout is the
one that RECSYS_DATA_DIR uses too: `ratings`, `users`, `movies`, or `train` and `test`; ids keep the publisher's names.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import BadZipFile, ZipFile

import polars as pl

from pipelines.ingest.formats.recognition import Says, look_at
from pipelines.ingest.metadata_files import read_table, refuse
from recsys_vae.data import columns as c
from recsys_vae.errors import DataError

WHEEL_FOLDER = "recbole/dataset_example/ml-100k/ml-100k"
RATING_COLUMNS = ("user_id", "movie_id", "rating", "timestamp")
USER_COLUMNS_100K = ("user_id", "age", "gender", "occupation", "zip")


def read_ml100k_wheel(files: Sequence[Path], folder: Path) -> None:
    """The copy in RecBole's wheel: tab-separated, a header names and types the columns; title and year stand apart."""
    (wheel,) = files
    _write_ratings(_read(wheel, f"{WHEEL_FOLDER}.inter", "recbole").rename({"rating": c.WEIGHT}), folder)
    users = _read(wheel, f"{WHEEL_FOLDER}.user", "recbole-users").rename({"zip_code": "zip"})
    _write(users.select(USER_COLUMNS_100K), folder / "users.parquet")
    movies = _read(wheel, f"{WHEEL_FOLDER}.item", "recbole-items")
    year = pl.when(pl.col("release_year").str.contains(r"^\d{4}$")).then(pl.format(" ({})", "release_year"))
    title = pl.concat_str("movie_title", year.fill_null("")).alias("title")
    _write_movies(movies.select(c.ITEM, title, pl.col("class").alias("genres")), folder)


def read_ml100k_zip(files: Sequence[Path], folder: Path) -> None:
    """GroupLens's own archive: u.data, u.user, u.item."""
    (archive,) = files
    _write_ratings(_read(archive, "ml-100k/u.data", "movielens-100k"), folder)
    _write(_read(archive, "ml-100k/u.user", "movielens-100k-users"), folder / "users.parquet")
    _write_movies(_read(archive, "ml-100k/u.item", "movielens-100k-items"), folder)


def read_ml1m_zip(files: Sequence[Path], folder: Path) -> None:
    """GroupLens's archive: ratings.dat, users.dat, movies.dat."""
    (archive,) = files
    _write_ratings(_read(archive, "ml-1m/ratings.dat", "movielens-dat"), folder)
    _write(_read(archive, "ml-1m/users.dat", "movielens-dat-users"), folder / "users.parquet")
    _write_movies(_read(archive, "ml-1m/movies.dat", "movielens-dat-items"), folder)


def read_movielens_csv_zip(files: Sequence[Path], folder: Path) -> None:
    """The archives from 20M on: CSV with a header. Ratings are unpacked to disk first, so that they stream."""
    (archive,) = files
    unpacked = folder / "ratings.csv"
    with ZipFile(archive) as zipped, unpacked.open("wb") as file, zipped.open(f"{archive.stem}/ratings.csv") as member:
        while chunk := member.read(1 << 20):
            file.write(chunk)
    named = pl.scan_csv(unpacked, infer_schema=False, glob=False).rename({"userId": "user_id", "movieId": "movie_id"})
    named.select(_rating_types(RATING_COLUMNS)).sink_parquet(folder / "ratings.parquet")
    unpacked.unlink()
    movies = _read(archive, f"{archive.stem}/movies.csv", "movielens-csv-items")
    _write(movies.rename({"movieId": "movie_id"}), folder / "movies.parquet")


def read_adjacency_lists(files: Sequence[Path], folder: Path) -> None:
    """LightGCN's text files, one user a line: its id, then the ids of its items."""
    for path in files:
        frame = _table(path, "lightgcn").select(pl.col(c.USER, c.ITEM).cast(pl.Int32))
        _write(frame, folder / f"{path.stem}.parquet")


def _read(archive: Path, name: str, form: str) -> pl.DataFrame:
    """A member of an archive, as files of its format are read by `recsys ingest`."""
    with TemporaryDirectory(prefix="recsys-archive-") as place:
        path = Path(place) / Path(name).name
        path.write_bytes(_member(archive, name))
        return _table(path, form)


def _table(path: Path, form: str) -> pl.DataFrame:
    table, rejected = read_table(path, look_at(path, Says(format=form)))
    refuse(path, rejected)
    return table


def _member(archive: Path, name: str) -> bytes:
    try:
        with ZipFile(archive) as zipped:
            return zipped.read(name)
    except (KeyError, BadZipFile) as error:
        raise DataError(f"{archive.name} holds no readable {name}: {error}. Remove it and fetch again.") from error


def _write_ratings(ratings: pl.DataFrame, folder: Path) -> None:
    named = ratings.rename({c.ITEM: "movie_id", c.WEIGHT: "rating"})
    _write(named.select(_rating_types(RATING_COLUMNS)), folder / "ratings.parquet")


def _write_movies(movies: pl.DataFrame, folder: Path) -> None:
    _write(movies.rename({c.ITEM: "movie_id"}).select("movie_id", "title", "genres"), folder / "movies.parquet")


def _rating_types(names: Sequence[str]) -> list[pl.Expr]:
    types = {"rating": pl.Float32(), "timestamp": pl.Int64()}
    return [pl.col(name).cast(pl.Float64).cast(types[name]) if name in types else pl.col(name) for name in names]


def _write(frame: pl.DataFrame, path: Path) -> None:
    frame.write_parquet(path)
