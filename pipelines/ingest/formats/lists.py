"""Lines that are lists: LightGCN's user a line, and the sparse rows of libFM and svmlight.

Sources: X. He et al., "LightGCN", SIGIR 2020 (github.com/kuandeng/LightGCN); libfm.org, manual 1.4.2;
svmlight.joachims.org.
"""

import re

import polars as pl

from pipelines.ingest.formats.format import Format
from pipelines.ingest.formats.peek import Peek
from pipelines.ingest.readers import Kind, Layout, Made, Rejected
from recsys_vae.data.columns import ITEM, USER, WEIGHT

LISTS = r"\s*\d+(?:\s+\d+)*\s*"
NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
PAIR = rf"[^\s:#]+:{NUMBER}"
SPARSE = rf"\s*{NUMBER}(?:\s+qid:\d+)?(?:\s+{PAIR})*\s*(?:#.*)?"


class ItemLists:
    """`USER ITEM ITEM ...`: as many rows as items; a user without items is a line and no row."""

    columns = (USER, ITEM)

    def __call__(self, lines: pl.Series, numbers: pl.Series) -> Made:
        """Rows of some lines."""
        fields = lines.str.strip_chars().str.replace_all(r"\s+", " ").str.split(" ")
        table = pl.DataFrame({USER: fields.list.first(), ITEM: fields.list.slice(1), "line": numbers})
        listed = table.filter(pl.col(ITEM).list.len() > 0).explode(ITEM)
        return Made(listed.select(USER, ITEM), listed["line"], structure=int((fields.list.len() == 1).sum()))


class SparseRows:
    """`TARGET FEATURE:VALUE ...`.

    libFM's rows have two features of value 1, the user's and the item's, and the target is the weight. Of svmlight's,
    each line is a user, called by its number from 1, and each feature an item whose value is the weight.
    """

    def __init__(self, *, has_pairs: bool) -> None:
        self.columns = (USER, ITEM, WEIGHT)
        self._rows_of = self._pair if has_pairs else self._features
        self._users = 0

    def __call__(self, lines: pl.Series, numbers: pl.Series) -> Made:
        """Rows of some lines."""
        rows: list[tuple[str, str, str]] = []
        places: list[int] = []
        rejected: list[Rejected] = []
        empty = 0
        for line, number in zip(lines, numbers, strict=True):
            content = line.partition("#")[0]
            if re.fullmatch(SPARSE, line) is None and content.strip():
                rejected.append(Rejected(number, line, "not of the form TARGET FEATURE:VALUE ..."))
                continue
            target, *features = content.split() or [""]
            made = self._rows_of(target, [f.split(":") for f in features if not f.startswith("qid:")])
            if made is None:
                rejected.append(Rejected(number, line, "not the two features of value 1 that stand for user and item"))
                continue
            rows += made
            places += [number] * len(made)
            empty += not made
        table = pl.DataFrame(rows, schema=dict.fromkeys(self.columns, pl.String), orient="row")
        return Made(table, pl.Series(places, dtype=pl.UInt64), tuple(rejected), structure=empty)

    def _pair(self, target: str, features: list[list[str]]) -> list[tuple[str, str, str]] | None:
        if not target:
            return []
        if len(features) != 2 or any(float(value) != 1 for _, value in features):
            return None
        return [(features[0][0], features[1][0], target)]

    def _features(self, target: str, features: list[list[str]]) -> list[tuple[str, str, str]]:
        if not target:
            return []
        self._users += 1
        return [(str(self._users), name, value) for name, value in features if float(value) != 0]


def _is_lists(peek: Peek) -> bool:
    if not peek.matches(LISTS):
        return False
    widths = {len(line.split()) for line in peek.lines}
    return len(widths) > 1 or max(widths) > 5 or peek.name in ("train.txt", "test.txt")


def _is_libfm(peek: Peek) -> bool:
    return peek.matches(r"\s*[+-]?[\d.]+\s+[^\s:]+:1(?:\.0*)?\s+[^\s:]+:1(?:\.0*)?\s*")


def _is_svmlight(peek: Peek) -> bool:
    return peek.matches(rf"{SPARSE}|\s*#.*") and any(":" in line.partition("#")[0] for line in peek.lines)


FORMATS = (
    Format(
        "lightgcn",
        "LightGCN's lists, a user a line",
        _is_lists,
        Layout(Kind.LINES, make_transformer=ItemLists),
    ),
    Format(
        "libfm",
        "libFM, a feature of the user and one of the item",
        _is_libfm,
        Layout(Kind.LINES, make_transformer=lambda: SparseRows(has_pairs=True)),
    ),
    Format(
        "svmlight",
        "svmlight, a user a line",
        _is_svmlight,
        Layout(Kind.LINES, make_transformer=lambda: SparseRows(has_pairs=False)),
    ),
)
