from datetime import date

import numpy as np
import polars as pl
import pytest

from recsys_vae.errors import ConfigError, UnknownNameError
from recsys_vae.reranking.caps import Cap
from recsys_vae.reranking.rules import Calibration, Quota, Rules, parse_rules

TABLE = pl.DataFrame(
    {
        "item_id": list("abcd"),
        "popularity": [90, 5, 5, 0],
        "brand": ["Own", "x", None, "Own"],
        "genres": [["p", "q"], [], None, ["q"]],
        "year": [1999, 2024, None, 2025],
        "price": [1.5, float("nan"), 3.0, 2.0],
        "since": [date(2024, 1, 1), date(2025, 6, 1), None, date(2025, 1, 1)],
        "sale": [True, False, None, True],
    }
)


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("long-tail", [0, 1, 1, 1]),
        ("new", [0, 0, 0, 1]),
        ("brand=Own", [1, 0, 0, 1]),
        ("genres=q", [1, 0, 0, 1]),
        ("year=2024", [0, 1, 0, 0]),
        ("year>=2024", [0, 1, 0, 1]),
        ("price<=2", [1, 0, 0, 1]),
        ("price>=2", [0, 0, 1, 1]),
        ("since>=2025-01-01", [0, 1, 0, 1]),
        ("sale=true", [1, 0, 0, 1]),
        ("year=old", [0, 0, 0, 0]),
    ],
)
def test_groups_of_quotas(group: str, expected: list[int]) -> None:
    assert Quota(1, group).members(TABLE).astype(int).tolist() == expected


@pytest.mark.parametrize(
    ("group", "match"),
    [("own", "Write N:GROUP"), ("brand>=x", "has no order"), ("year>=soon", "is no value"), ("genres<=p", "no order")],
)
def test_groups_that_are_not_understood(group: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        Quota(1, group).members(TABLE)


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'brand'"):
        Quota(1, "brant=Own").members(TABLE)


def test_rules_of_options() -> None:
    rules = parse_rules(["3:brand"], ["2:long-tail", "1:brand=Own"], "genres:0.3")
    assert rules == Rules(
        (Cap("brand", 3),), (Quota(2, "long-tail"), Quota(1, "brand=Own")), Calibration("genres", 0.3)
    )
    assert (
        str(rules)
        == "at most 3 of one brand, at least 2 of long-tail, at least 1 of brand=Own, calibrated genres (0.3)"
    )
    assert parse_rules([], [], "genres") == Rules(calibration=Calibration("genres"))
    assert rules
    assert not parse_rules([], [], None)


@pytest.mark.parametrize(
    "options",
    [(["brand"], [], None), (["0:brand"], [], None), ([], ["long-tail"], None), ([], ["2:"], None),
     ([], [], "genres:2"), ([], [], "genres:much"), ([], [], ":0.5")],
)  # fmt: skip
def test_options_written_otherwise(options: tuple[list[str], list[str], str | None]) -> None:
    with pytest.raises(ConfigError, match="is not understood"):
        parse_rules(*options)


def test_flags_do_not_change() -> None:
    assert Quota(1, "new").members(TABLE).dtype == np.bool_
