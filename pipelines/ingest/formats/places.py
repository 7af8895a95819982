"""Music and places: Last.fm 360K and 1K, Foursquare (TSMC 2014), check-ins of Gowalla and Brightkite.

Sources: ocelma.net/MusicRecommendationDataset; D. Yang et al., TSMC 2014; snap.stanford.edu/data (loc-gowalla,
loc-brightkite).
"""

import polars as pl

from pipelines.ingest.formats.format import Format, Role
from pipelines.ingest.readers import Layout
from recsys_vae.data.columns import ITEM, TIMESTAMP, USER, WEIGHT

SHA_1, ISO = r"[0-9a-f]{40}", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
WEEKDAY_TIME = r"[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d \+0000 \d{4}"


def _tabs(*columns: str, encoding: str = "utf-8") -> Layout:
    return Layout(separator="\t", quote=None, header=False, columns=columns, encoding=encoding)


def _without_place_of_zeros(rows: pl.DataFrame) -> pl.DataFrame:
    """Brightkite writes 32 zeros where there is no place."""
    return rows.with_columns(pl.when(~pl.col(ITEM).str.contains(r"^0{2,}$")).then(ITEM))


FORMATS = (
    Format(
        "lastfm-360k",
        "Last.fm 360K, plays (an artist is its name: many have no MusicBrainz id)",
        lambda peek: peek.matches(rf"{SHA_1}\t[^\t]*\t[^\t]*\t\s*\d+"),
        _tabs(USER, "artist_mbid", ITEM, WEIGHT),
    ),
    Format(
        "lastfm-360k-users",
        "Last.fm 360K, profiles",
        lambda peek: peek.matches(rf"{SHA_1}\t[mf]?\t-?\d*\t[^\t]*\t[^\t]*"),
        _tabs(USER, "gender", "age", "country", "signup"),
        Role.USERS,
    ),
    Format(
        "lastfm-1k",
        "Last.fm 1K, plays (an artist is its name)",
        lambda peek: peek.matches(rf"user_\d+\t{ISO}\t[^\t]*\t[^\t]*\t[^\t]*\t[^\t]*"),
        _tabs(USER, TIMESTAMP, "artist_mbid", ITEM, "track_mbid", "track"),
    ),
    Format(
        "foursquare-tsmc",
        "Foursquare check-ins of New York or Tokyo (TSMC 2014)",
        lambda peek: peek.matches(rf"\d+\t[0-9a-f]{{24}}(?:\t[^\t]*){{5}}\t{WEEKDAY_TIME}"),
        _tabs(
            USER, ITEM, "category_id", "category", "latitude", "longitude", "offset_minutes", TIMESTAMP,
            encoding="latin-1",
        ),
    ),
    Format(
        "gowalla-checkins",
        "Check-ins of Gowalla or Brightkite (SNAP)",
        lambda peek: peek.matches(rf"\d+\t(?:{ISO})?\t[^\t]*\t[^\t]*\t[0-9a-f]*"),
        _tabs(USER, TIMESTAMP, "latitude", "longitude", ITEM),
        rows=_without_place_of_zeros,
    ),
)  # fmt: skip
