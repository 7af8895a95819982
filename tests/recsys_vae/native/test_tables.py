from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_vae.native.tables import FieldTable, TextCodes, tables

pytestmark = pytest.mark.skipif(tables() is None, reason="nothing is compiled here")


def fields(text: bytes, columns: int) -> FieldTable:
    library = tables()
    assert library is not None
    return FieldTable(library, text, ord(","), columns, list(range(columns)), text.count(b"\n"))


@settings(deadline=None, max_examples=100)
@given(st.lists(st.lists(st.text("ab1é", max_size=40), min_size=2, max_size=2), min_size=1, max_size=12))
def test_fields_are_cut_as_split_does(rows: list[list[str]]) -> None:
    table = fields("".join(",".join(row) + "\n" for row in rows).encode(), 2)
    assert table.regular
    for slot in (0, 1):
        data, offsets = table.texts(slot)
        found = [bytes(data[a:b]).decode() for a, b in pairwise(offsets)]
        assert found == [row[slot] for row in rows]


def test_lines_with_other_fields_than_columns_have_their_state() -> None:
    assert fields(b"1,2\n\n1\n1,2,3\n", 2).states.tolist() == [0, 1, 3, 2]
    assert fields(b"1\n\n", 1).states.tolist() == [0, 1]


def test_a_wrong_number_of_lines_is_an_error() -> None:
    library = tables()
    assert library is not None
    for data, lines in ((b"1\n2\n", 1), (b"1\n2\n", 3), (b"1\n2", 1)):
        with pytest.raises(ValueError, match="There are not"):
            FieldTable(library, data, ord(","), 1, [0], lines)


def test_numbers_are_read_in_their_one_way_of_writing() -> None:
    numbers = fields(b"0\n-12\n\n999999999999999999\n", 1).whole_numbers(0)
    assert numbers is not None
    assert numbers[0].tolist() == [0, -12, 0, 999999999999999999]
    assert numbers[1] is not None
    assert numbers[1].tolist() == [True, True, False, True]
    for other in (b"01\n", b"+1\n", b"-0\n", b"1.0\n", b"1 \n", b"9999999999999999999\n", b"-\n"):
        assert fields(other, 1).whole_numbers(0) is None
    decimals = fields(b"0.5\n4.0\n123.25\n", 1).decimals(0)
    assert decimals is not None
    assert decimals[0].tolist() == [0.5, 4.0, 123.25]
    for other in (b"1\n", b"1.\n", b".5\n", b"1.50\n", b"00.5\n", b"1.2.3\n", b"-1.5\n", b"0.0001\n", b"1e1\n"):
        assert fields(other, 1).decimals(0) is None


def test_texts_have_one_number_each_however_many_they_are() -> None:
    library = tables()
    assert library is not None
    codes = TextCodes(library)
    texts = [f"id {n % 20_000}".encode() for n in range(30_000)] + [b""]
    sizes = np.array([len(text) for text in texts], np.uint32)
    found = codes.add(b"".join(texts), np.cumsum(sizes, dtype=np.uint32) - sizes, sizes)
    assert len(codes) == 20_000
    assert found[:20_000].tolist() == list(range(20_000))
    assert np.array_equal(found[20_000:30_000], found[:10_000])
    assert found[-1] == TextCodes.EMPTY
    data, offsets = codes.texts(19_999)
    assert bytes(data) == b"id 19999"
    assert offsets.tolist() == [0, 8]
