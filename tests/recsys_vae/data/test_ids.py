import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys_vae.data.ids import IdMap
from recsys_vae.errors import DataError


def test_rows_are_places_in_ascending_byte_order() -> None:
    ids = IdMap.from_values(["b", "10", "9", "é", "Z", "b"])
    assert ids.values.to_list() == ["10", "9", "Z", "b", "é"]
    assert ids.rows(["é", "10", "unknown", ""]).tolist() == [4, 0, -1, -1]
    assert ids.ids([4, 0]) == ["é", "10"]


@given(st.lists(st.text(max_size=5)), st.lists(st.text(max_size=5)))
def test_rows_and_ids_are_inverse(known: list[str], asked: list[str]) -> None:
    ids = IdMap.from_values(known)
    rows = ids.rows(asked)
    for external, row in zip(asked, rows, strict=True):
        assert (row >= 0) == (external in set(known))
        assert row < 0 or ids.ids([row]) == [external]
    assert sorted(set(known), key=str.encode) == ids.values.to_list()


def test_null_ids_are_unknown() -> None:
    assert IdMap.from_values(["a"]).rows(pl.Series([None, "a"], dtype=pl.String)).tolist() == [-1, 0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pl.Series([1, 2]), "strings"),
        (pl.Series(["a", None]), "null"),
        (pl.Series(["a", "a"]), "unique"),
        (pl.Series(["b", "a"]), "ascending"),
    ],
)
def test_values_that_are_no_id_map_are_refused(values: pl.Series, message: str) -> None:
    with pytest.raises(DataError, match=message):
        IdMap(values)


def test_rows_outside_are_refused() -> None:
    with pytest.raises(IndexError, match=r"0\.\.0"):
        IdMap.from_values(["a"]).ids(np.array([-1]))


def test_fingerprint_tells_ids_apart() -> None:
    assert IdMap.from_values(["ab", "c"]).fingerprint() != IdMap.from_values(["a", "bc"]).fingerprint()
    assert IdMap.from_values(["b", "a"]) == IdMap.from_values(["a", "b", "a"])


@pytest.mark.parametrize("odd", ["", "a\0b", "x" * 513])
def test_texts_that_are_no_ids_are_refused(odd: str) -> None:
    with pytest.raises(DataError, match="Column 'user' holds 1 ids that are none"):
        IdMap.from_labels(pl.Series("user", ["a", odd, odd]))
