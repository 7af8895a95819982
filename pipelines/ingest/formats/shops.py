"""Shops and reviews: steam-200k, RetailRocket, Yoochoose, Amazon reviews, Yelp, Book-Crossing, Criteo.

Sources: kaggle.com/datasets/tamber/steam-video-games; kaggle.com/datasets/retailrocket/ecommerce-dataset; RecSys
Challenge 2015; jmcauley.ucsd.edu/data/amazon (2014), nijianmo.github.io/amazon (2018), amazon-reviews-2023.github.io;
yelp.com/dataset; C.-N. Ziegler et al., "Improving Recommendation Lists Through Topic Diversification", 2005;
ailab.criteo.com (Kaggle's display advertising challenge 2014, attribution 2017).
"""

import polars as pl

from pipelines.ingest.formats.format import Format, Recognise, Role
from pipelines.ingest.formats.peek import Peek
from pipelines.ingest.formats.python_dicts import PythonDicts
from pipelines.ingest.formats.quoted_fields import QuotedFields
from pipelines.ingest.readers import Kind, Layout
from pipelines.ingest.readers.dialect import unique_names
from recsys_vae.data.columns import EVENT_TYPE, ITEM, TIMESTAMP, USER, WEIGHT

ASIN, REVIEWER = r"[0-9A-Z]{10}", r"A[0-9A-Z]{10,}"
ISO = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z"
CRITEO = ("label", *(f"I{n}" for n in range(1, 14)), *(f"C{n}" for n in range(1, 27)))
IMPLICIT, EXPLICIT = "implicit", "rating"
PROPERTIES = "properties"
AMAZON_2014 = ("asin", "title", "price", "brand", "description", "categories", "imUrl", "salesRank", "related")


def _has_header(*columns: str, separator: str = ",") -> Recognise:
    return lambda peek: peek.header == separator.join(columns)


def _has_keys(*keys: str) -> Recognise:
    return lambda peek: peek.keys.issuperset(keys)


def _rated(first: str, second: str) -> Recognise:
    return lambda peek: peek.matches(rf"{first},{second},[1-5](?:\.0)?,\d{{9,10}}")


def _book_columns(peek: Peek) -> tuple[str, ...]:
    return unique_names([name.strip('"') for name in peek.header.split(";" if ";" in peek.header else ",")])


def _is_books(*columns: str) -> Recognise:
    return lambda peek: _book_columns(peek)[: len(columns)] == columns


def _book_layout(peek: Peek) -> Layout:
    """The first edition escapes quotes by backslashes; later ones are plain CSV."""
    if ";" not in peek.header:
        return Layout(encoding="latin-1")
    columns = _book_columns(peek)
    return Layout(Kind.LINES, encoding="latin-1", make_transformer=lambda: QuotedFields(columns))


def _implicit_apart(rows: pl.DataFrame) -> pl.DataFrame:
    """A rating of 0 says that somebody has read a book: an event of its own kind, without a weight."""
    is_rated = pl.col("Book-Rating") != "0"
    return rows.with_columns(
        pl.when(is_rated).then("Book-Rating").alias(WEIGHT),
        pl.when(is_rated).then(pl.lit(EXPLICIT)).otherwise(pl.lit(IMPLICIT)).alias(EVENT_TYPE),
    )


def _one_row_an_item(rows: pl.DataFrame) -> pl.DataFrame:
    """The long form as a wide one, of each property the latest value.

    The named ones (`categoryid`, `available`) are columns. The thousand that are numbered, and of which an item has
    thirty, are one: a set of `NUMBER=VALUE`, by number.
    """
    moment = pl.col(TIMESTAMP).cast(pl.Int64, strict=False)
    latest = (
        rows.sort(moment, nulls_last=False, maintain_order=True)
        .unique(["itemid", "property"], keep="last", maintain_order=True)
        .filter(pl.col("value").is_not_null())
    )
    is_numbered = pl.col("property").str.contains(r"^\d+$")
    named = latest.filter(~is_numbered).pivot(
        "property", index="itemid", values="value", aggregate_function="last", sort_columns=True
    )
    numbered = (
        latest.filter(is_numbered)
        .sort(pl.col("property").cast(pl.Int64), maintain_order=True)
        .group_by("itemid", maintain_order=True)
        .agg(pl.format("{}={}", "property", "value").str.join("|").alias(PROPERTIES))
    )
    items = rows.select("itemid").unique(maintain_order=True)
    return items.join(named, on="itemid", how="left", maintain_order="left").join(
        numbered, on="itemid", how="left", maintain_order="left"
    )


def _without_header(*columns: str, separator: str = ",", quote: str | None = '"') -> Layout:
    return Layout(separator=separator, quote=quote, header=False, columns=columns)


_JSON_LINES = Layout(Kind.JSON_LINES)

FORMATS = (
    Format(
        "steam-200k",
        "Steam 200k",
        lambda peek: peek.matches(r"\d+,.+,(?:purchase|play),\d+(?:\.\d+)?,0"),
        _without_header(USER, ITEM, EVENT_TYPE, WEIGHT, "zero"),
    ),
    Format(
        "retailrocket",
        "RetailRocket, events.csv",
        _has_header("timestamp", "visitorid", "event", "itemid", "transactionid"),
        Layout(),
        mapping=((USER, "visitorid"), (ITEM, "itemid"), (EVENT_TYPE, "event")),
    ),
    Format(
        "retailrocket-items",
        "RetailRocket, item_properties",
        _has_header("timestamp", "itemid", "property", "value"),
        Layout(),
        Role.ITEMS,
        mapping=((ITEM, "itemid"),),
        whole=_one_row_an_item,
    ),
    Format(
        "yoochoose-clicks",
        "Yoochoose, clicks",
        lambda peek: peek.matches(rf"\d+,{ISO},\d+,[^,]*"),
        _without_header(USER, TIMESTAMP, ITEM, "category"),
        event_type="click",
    ),
    Format(
        "yoochoose-buys",
        "Yoochoose, buys",
        lambda peek: peek.matches(rf"\d+,{ISO},\d+,\d+,\d+"),
        _without_header(USER, TIMESTAMP, ITEM, "price", "quantity"),
        event_type="buy",
    ),
    Format(
        "amazon-csv",
        "Amazon reviews 2014, ratings only (user first)",
        _rated(REVIEWER, ASIN),
        _without_header(USER, ITEM, WEIGHT, TIMESTAMP),
    ),
    Format(
        "amazon-csv-2018",
        "Amazon reviews 2018, ratings only (item first)",
        _rated(ASIN, REVIEWER),
        _without_header(ITEM, USER, WEIGHT, TIMESTAMP),
    ),
    Format(
        "amazon-csv-2023",
        "Amazon reviews 2023, ratings only",
        lambda peek: peek.header.startswith("user_id,parent_asin,rating,timestamp"),
        Layout(),
        mapping=((ITEM, "parent_asin"), (WEIGHT, "rating")),
    ),
    Format(
        "amazon",
        "Amazon reviews 2014 or 2018",
        _has_keys("reviewerID", "asin", "overall", "unixReviewTime"),
        _JSON_LINES,
        mapping=((USER, "reviewerID"), (ITEM, "asin"), (WEIGHT, "overall"), (TIMESTAMP, "unixReviewTime")),
    ),
    Format(
        "amazon-items",
        "Amazon reviews 2014, metadata",
        lambda peek: peek.header.startswith("{'") and "'asin': " in peek.header,
        Layout(Kind.LINES, make_transformer=lambda: PythonDicts(AMAZON_2014, sets=("categories",))),
        Role.ITEMS,
        mapping=((ITEM, "asin"),),
    ),
    Format(
        "amazon-2023",
        "Amazon reviews 2023",
        _has_keys("user_id", "parent_asin", "rating", "timestamp"),
        _JSON_LINES,
        mapping=((ITEM, "parent_asin"), (WEIGHT, "rating")),
    ),
    Format(
        "amazon-items-2023",
        "Amazon reviews 2023, metadata",
        _has_keys("parent_asin", "title", "main_category"),
        _JSON_LINES,
        Role.ITEMS,
        mapping=((ITEM, "parent_asin"),),
    ),
    Format(
        "yelp",
        "Yelp, review.json",
        _has_keys("user_id", "business_id", "date", "stars"),
        _JSON_LINES,
        mapping=((ITEM, "business_id"), (WEIGHT, "stars"), (TIMESTAMP, "date")),
    ),
    Format(
        "yelp-tips",
        "Yelp, tip.json",
        _has_keys("user_id", "business_id", "date", "compliment_count"),
        _JSON_LINES,
        mapping=((ITEM, "business_id"), (TIMESTAMP, "date")),
        event_type="tip",
    ),
    Format(
        "yelp-items",
        "Yelp, business.json",
        _has_keys("business_id", "name", "city"),
        _JSON_LINES,
        Role.ITEMS,
        mapping=((ITEM, "business_id"),),
    ),
    Format(
        "book-crossing",
        "Book-Crossing, ratings",
        _is_books("User-ID", "ISBN", "Book-Rating"),
        _book_layout,
        mapping=((USER, "User-ID"), (ITEM, "ISBN")),
        rows=_implicit_apart,
    ),
    Format(
        "book-crossing-items",
        "Book-Crossing, books",
        _is_books("ISBN", "Book-Title"),
        _book_layout,
        Role.ITEMS,
        mapping=((ITEM, "ISBN"),),
    ),
    Format(
        "book-crossing-users",
        "Book-Crossing, users",
        _is_books("User-ID", "Location"),
        _book_layout,
        Role.USERS,
        mapping=((USER, "User-ID"),),
    ),
    Format(
        "criteo-attribution",
        "Criteo attribution",
        lambda peek: peek.header.startswith("timestamp\tuid\tcampaign\t"),
        Layout(separator="\t", quote=None),
        mapping=((USER, "uid"), (ITEM, "campaign")),
    ),
    Format(
        "criteo",
        "Criteo display advertising: label, I1 to I13, C1 to C26; no user and no item",
        lambda peek: peek.matches(r"[01](?:\t-?\d*){13}(?:\t[0-9a-f]*){26}"),
        _without_header(*CRITEO, separator="\t", quote=None),
    ),
)
