"""Published archives, each in its own format, to the tables that a dataset consists of here.

Every function takes the files that were downloaded and a folder, and writes Parquet tables into it. Their layout is the
one that RECSYS_DATA_DIR uses too: `ratings`, `users`, `movies`, or `train` and `test`; ids keep the publisher's names.
"""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import polars as pl

from pipelines.ingest.formats.movielens import GENRES
from recsys_vae.errors import DataError

WHEEL_FOLDER = "recbole/dataset_example/ml-100k/ml-100k"
RATING_COLUMNS = ("user_id", "movie_id", "rating", "timestamp")
USER_COLUMNS_1M = ("user_id", "gender", "age", "occupation", "zip")
USER_COLUMNS_100K = ("user_id", "age", "gender", "occupation", "zip")


def read_ml100k_wheel(files: Sequence[Path], folder: Path) -> None:
    """The copy in RecBole's wheel: tab-separated, a header names and types the columns; title and year stand apart."""
    (wheel,) = files
    ratings = _typed_tsv(_member(wheel, f"{WHEEL_FOLDER}.inter")).rename({"item_id": "movie_id"})
    _write(ratings.select(_rating_types(RATING_COLUMNS)), folder / "ratings.parquet")
    users = _typed_tsv(_member(wheel, f"{WHEEL_FOLDER}.user")).rename({"zip_code": "zip"})
    _write(users.select(USER_COLUMNS_100K), folder / "users.parquet")
    movies = _typed_tsv(_member(wheel, f"{WHEEL_FOLDER}.item"))
    year = pl.when(pl.col("release_year").str.contains(r"^\d{4}$")).then(pl.format(" ({})", "release_year"))
    title = pl.concat_str("movie_title", year.fill_null("")).alias("title")
    genres = pl.col("class").str.replace_all(" ", "|", literal=True).alias("genres")
    _write(movies.select(pl.col("item_id").alias("movie_id"), title, genres), folder / "movies.parquet")


def read_ml100k_zip(files: Sequence[Path], folder: Path) -> None:
    """GroupLens's own archive: u.data, u.user, u.item; genres are 19 columns of 0 and 1."""
    (archive,) = files
    ratings = _rows(_member(archive, "ml-100k/u.data"), "\t", RATING_COLUMNS)
    _write(ratings.select(_rating_types(RATING_COLUMNS)), folder / "ratings.parquet")
    _write(_rows(_member(archive, "ml-100k/u.user"), "|", USER_COLUMNS_100K), folder / "users.parquet")
    columns = ("movie_id", "title", "released", "video_released", "url", *GENRES)
    movies = _rows(_member(archive, "ml-100k/u.item"), "|", columns)
    genres = pl.concat_str(
        [pl.when(pl.col(g) == "1").then(pl.lit(g)) for g in GENRES], separator="|", ignore_nulls=True
    )
    _write(movies.select("movie_id", "title", genres.alias("genres")), folder / "movies.parquet")


def read_ml1m_zip(files: Sequence[Path], folder: Path) -> None:
    """GroupLens's archive: fields are separated by two colons."""
    (archive,) = files
    ratings = _rows(_member(archive, "ml-1m/ratings.dat"), "::", RATING_COLUMNS)
    _write(ratings.select(_rating_types(RATING_COLUMNS)), folder / "ratings.parquet")
    _write(_rows(_member(archive, "ml-1m/users.dat"), "::", USER_COLUMNS_1M), folder / "users.parquet")
    _write(
        _rows(_member(archive, "ml-1m/movies.dat"), "::", ("movie_id", "title", "genres")), folder / "movies.parquet"
    )


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
    movies = pl.read_csv(_member(archive, f"{archive.stem}/movies.csv"), infer_schema=False)
    _write(movies.rename({"movieId": "movie_id"}), folder / "movies.parquet")


def read_adjacency_lists(files: Sequence[Path], folder: Path) -> None:
    """LightGCN's text files, one user a line: its id, then the ids of its items."""
    for path in files:
        lines = (line.split() for line in path.read_text().splitlines())
        pairs = [(int(line[0]), int(item)) for line in lines for item in line[1:]]
        frame = pl.DataFrame(pairs, schema={"user_id": pl.Int32, "item_id": pl.Int32}, orient="row")
        _write(frame, folder / f"{path.stem}.parquet")


def _member(archive: Path, name: str) -> bytes:
    try:
        with ZipFile(archive) as zipped:
            return zipped.read(name)
    except (KeyError, BadZipFile) as error:
        raise DataError(f"{archive.name} holds no readable {name}: {error}. Remove it and fetch again.") from error


def _typed_tsv(content: bytes) -> pl.DataFrame:
    frame = pl.read_csv(BytesIO(content), separator="\t", quote_char=None, infer_schema=False)
    return frame.rename({name: name.partition(":")[0] for name in frame.columns})


def _rows(content: bytes, separator: str, columns: Sequence[str]) -> pl.DataFrame:
    """Lines of fields without quoting, in Latin-1 as GroupLens wrote them until 2009."""
    lines = pl.Series(content.decode("latin-1").splitlines()).str.split_exact(separator, len(columns) - 1)
    return lines.struct.rename_fields(list(columns)).struct.unnest()


def _rating_types(names: Sequence[str]) -> list[pl.Expr]:
    types = {"rating": pl.Float32(), "timestamp": pl.Int64()}
    return [pl.col(name).cast(pl.Float64).cast(types[name]) if name in types else pl.col(name) for name in names]


def _write(frame: pl.DataFrame, path: Path) -> None:
    frame.write_parquet(path)
