"""MovieLens in its three shapes, MovieTweetings, and HetRec 2011, which GroupLens publishes too.

Sources: the READMEs of ml-100k (1998), ml-1m (2003), ml-10m (2009), ml-20m and later;
github.com/sidooms/MovieTweetings; files.grouplens.org/datasets/hetrec2011.
"""

import polars as pl

from pipelines.ingest.formats.format import Format, Role
from pipelines.ingest.formats.peek import Peek
from pipelines.ingest.readers import Layout
from recsys_vae.data.columns import ITEM, TIMESTAMP, USER, WEIGHT

LATIN_1 = "latin-1"
RATINGS = (USER, ITEM, WEIGHT, TIMESTAMP)
NUMBER, EPOCH = r"-?\d+(?:\.\d+)?", r"\d{9,10}"
GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip


def _without_quotes(separator: str, columns: tuple[str, ...], encoding: str = "utf-8") -> Layout:
    return Layout(separator=separator, quote=None, header=False, columns=columns, encoding=encoding)


def _is_movietweetings(peek: Peek) -> bool:
    return peek.matches(rf"\d+::\d{{7,8}}::{NUMBER}::{EPOCH}")


def _is_dat(peek: Peek) -> bool:
    return peek.matches(rf"\d+::\d+::{NUMBER}::{EPOCH}")


def _is_dat_items(peek: Peek) -> bool:
    return peek.matches(r"\d+::.*\(\d{4}\)::[^:]*")


def _is_u_data(peek: Peek) -> bool:
    return peek.matches(rf"\d+\t\d+\t{NUMBER}\t{EPOCH}")


def _is_u_item(peek: Peek) -> bool:
    return peek.matches(r"\d+\|[^|]*\|[^|]*\|[^|]*\|[^|]*(?:\|[01]){19}")


def _genres_of_flags(rows: pl.DataFrame) -> pl.DataFrame:
    """One column of names for nineteen of zeros and ones."""
    named = [pl.when(pl.col(genre) == "1").then(pl.lit(genre)) for genre in GENRES]
    return rows.with_columns(pl.concat_str(named, separator="|", ignore_nulls=True).alias("genres")).drop(GENRES)


def _is_hetrec(peek: Peek) -> bool:
    return peek.header.startswith(("userID\tartistID\t", "userID\tmovieID\t", "userID\tbookmarkID\t"))


def _hetrec_columns(rows: pl.DataFrame) -> pl.DataFrame:
    """Their columns beside ours, whatever the item is called; days in three columns as one date."""
    item = next((name for name in ("artistID", "movieID", "bookmarkID") if name in rows.columns), "artistID")
    days = next((prefix for prefix in ("", "date_") if f"{prefix}day" in rows.columns), None)
    named = {USER: "userID", ITEM: item} | ({WEIGHT: "rating"} if "rating" in rows.columns else {})
    renamed = rows.with_columns(pl.col(theirs).alias(ours) for ours, theirs in named.items())
    if days is None or TIMESTAMP in rows.columns:
        return renamed
    parts = [pl.col(f"{days}year"), pl.col(f"{days}month").str.zfill(2), pl.col(f"{days}day").str.zfill(2)]
    return renamed.with_columns(pl.concat_str(parts, separator="-").alias(TIMESTAMP))


FORMATS = (
    Format("movietweetings", "MovieTweetings, ratings.dat", _is_movietweetings, _without_quotes("::", RATINGS)),
    Format("movielens-dat", "MovieLens 1M or 10M, ratings.dat", _is_dat, _without_quotes("::", RATINGS, LATIN_1)),
    Format(
        "movielens-dat-items",
        "MovieLens 1M or 10M or MovieTweetings, movies.dat",
        _is_dat_items,
        _without_quotes("::", (ITEM, "title", "genres"), LATIN_1),
        Role.ITEMS,
    ),
    Format(
        "movielens-dat-users",
        "MovieLens 1M, users.dat",
        lambda peek: peek.matches(r"\d+::[MF]::\d+::\d+::[^:]*"),
        _without_quotes("::", (USER, "gender", "age", "occupation", "zip"), LATIN_1),
        Role.USERS,
    ),
    Format("movielens-100k", "MovieLens 100K, u.data", _is_u_data, _without_quotes("\t", RATINGS)),
    Format(
        "movielens-100k-items",
        "MovieLens 100K, u.item",
        _is_u_item,
        _without_quotes("|", (ITEM, "title", "released", "video_released", "url", *GENRES), LATIN_1),
        Role.ITEMS,
        rows=_genres_of_flags,
    ),
    Format(
        "movielens-100k-users",
        "MovieLens 100K, u.user",
        lambda peek: peek.matches(r"\d+\|\d+\|[MF]\|[^|]*\|[^|]*"),
        _without_quotes("|", (USER, "age", "gender", "occupation", "zip"), LATIN_1),
        Role.USERS,
    ),
    Format(
        "movielens-csv",
        "MovieLens 20M or later, ratings.csv",
        lambda peek: peek.header == "userId,movieId,rating,timestamp",
        Layout(),
        mapping=((USER, "userId"), (ITEM, "movieId"), (WEIGHT, "rating")),
    ),
    Format(
        "movielens-csv-items",
        "MovieLens 20M or later, movies.csv",
        lambda peek: peek.header == "movieId,title,genres",
        Layout(),
        Role.ITEMS,
        mapping=((ITEM, "movieId"),),
    ),
    Format(
        "hetrec",
        "HetRec 2011 (Last.fm, MovieLens, Delicious), a table of users and items",
        _is_hetrec,
        Layout(separator="\t", quote=None),
        rows=_hetrec_columns,
    ),
    Format(
        "hetrec-lastfm-items",
        "HetRec 2011 Last.fm, artists.dat",
        lambda peek: peek.header == "id\tname\turl\tpictureURL",
        Layout(separator="\t", quote=None),
        Role.ITEMS,
        mapping=((ITEM, "id"),),
    ),
)
