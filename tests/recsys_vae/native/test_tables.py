import ctypes
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_vae.errors import UnknownNameError
from recsys_vae.native.tables import (
    DECIMALS,
    LEFT_OUT,
    TEXTS,
    WHOLE_NUMBERS,
    FieldTable,
    TextCodes,
    count_lines,
    description,
    gather_texts,
    read_lines,
    tables,
)

pytestmark = pytest.mark.skipif(tables() is None, reason="nothing is compiled here")


def loaded() -> ctypes.CDLL:
    library = tables()
    assert library is not None
    return library


def fields(text: bytes, columns: int) -> FieldTable:
    return FieldTable(loaded(), text, ord(","), columns, list(range(columns)), text.count(b"\n"))


@settings(deadline=None, max_examples=100)
@given(st.lists(st.lists(st.text("ab1é", max_size=40), min_size=2, max_size=2), min_size=1, max_size=12))
def test_fields_are_cut_as_split_does(rows: list[list[str]]) -> None:
    text = "".join(",".join(row) + "\n" for row in rows).encode()
    table = fields(text, 2)
    assert table.regular
    for slot in (0, 1):
        data, offsets = gather_texts(loaded(), text, *table.texts(slot))
        found = [bytes(data[a:b]).decode() for a, b in pairwise(offsets)]
        assert found == [row[slot] for row in rows]


def test_lines_with_other_fields_than_columns_have_their_state() -> None:
    assert fields(b"1,2\n\n1\n1,2,3\n", 2).states.tolist() == [0, 1, 3, 2]
    assert fields(b"1\n\n", 1).states.tolist() == [0, 1]


def test_a_wrong_number_of_lines_is_an_error() -> None:
    for data, lines in ((b"1\n2\n", 1), (b"1\n2\n", 3), (b"1\n2", 1)):
        with pytest.raises(ValueError, match="There are not"):
            FieldTable(loaded(), data, ord(","), 1, [0], lines)


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


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.tuples(st.integers(-(10**19), 10**19), st.text("0123456789.-x", max_size=20)), min_size=1, max_size=20),
    st.sampled_from([WHOLE_NUMBERS, DECIMALS, TEXTS, LEFT_OUT]),
)
def test_one_pass_reads_what_column_by_column_does(rows: list[tuple[int, str]], kind: int) -> None:
    text = "".join(f"{number},{other}\n" for number, other in rows).encode()
    table = fields(text, 2)
    found = read_lines(loaded(), text, ord(","), [WHOLE_NUMBERS, kind], len(rows))
    wholes = table.whole_numbers(0)
    others = {WHOLE_NUMBERS: table.whole_numbers, DECIMALS: table.decimals}.get(kind, lambda _: True)(1)
    assert (found is None) == (wholes is None or others is None)
    if found is None or wholes is None:
        return
    assert found.numbers[0][0].tolist() == wholes[0].tolist() == [number for number, _ in rows]
    if kind in (WHOLE_NUMBERS, DECIMALS):
        assert isinstance(others, tuple)
        assert found.numbers[1][0].tolist() == others[0].tolist()
        assert (found.numbers[1][1] is None) == (others[1] is None)
    if kind == TEXTS:
        data, offsets = gather_texts(loaded(), text, *found.texts[1])
        assert [bytes(data[a:b]).decode() for a, b in pairwise(offsets)] == [other for _, other in rows]


def test_one_pass_takes_whole_numbers_of_any_length_wherever_they_stand() -> None:
    numbers = [int("1234567890123456789"[:digits]) for digits in range(1, 19)]
    text = "".join(f"{number}\n" for number in numbers + numbers[::-1]).encode()
    found = read_lines(loaded(), text, ord(","), [WHOLE_NUMBERS], 36)
    assert found is not None
    assert found.numbers[0][0].tolist() == numbers + numbers[::-1]
    for odd in (b"1\n\n", b"1,2\n", b"1", b"12345678a\n", b"1a345678\n", b"a2345678\n"):
        assert read_lines(loaded(), odd, ord(","), [WHOLE_NUMBERS], odd.count(b"\n")) is None


@pytest.mark.parametrize("lines", [["1,2.5,x,a", "-20,,y,", "3,0.5,,bc"], ["1,2,x,a"], ["1,2.5,x"], ["1,2.5,x,a,b"]])
def test_lines_in_a_buffer_are_read_as_those_in_bytes(lines: list[str]) -> None:
    library, kinds = loaded(), [WHOLE_NUMBERS, DECIMALS, LEFT_OUT, TEXTS]
    data = "".join(f"{line}\n" for line in lines).encode()
    buffer = np.frombuffer(bytearray(data + b"of the block before\n"), np.uint8, len(data))
    assert count_lines(buffer) == len(lines)
    found = read_lines(library, buffer, ord(","), kinds, len(lines))
    expected = read_lines(library, data, ord(","), kinds, len(lines))
    if expected is None:
        assert found is None
        return
    assert found is not None
    for one, other in ((found.numbers, expected.numbers), (found.texts, expected.texts)):
        assert list(one) == list(other)
        for place, (values, others) in other.items():
            assert one[place][0].tolist() == values.tolist()
            assert (one[place][1] is None) == (others is None)
            assert others is None or np.array_equal(one[place][1], others)


def test_lines_are_counted() -> None:
    assert [count_lines(b"a\nb\n" * n + b"c" * (n % 3)) for n in (0, 1, 70, 1000)] == [0, 2, 140, 2000]


def test_texts_have_one_number_each_however_many_they_are() -> None:
    codes = TextCodes(loaded())
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


def test_the_switch_is_that_of_all_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, there in (("1", True), ("baseline", True), ("0", False)):
        monkeypatch.setenv("RECSYS_NATIVE", value)
        assert (tables() is not None) == there
        assert description() == ("in use" if there else "not used: RECSYS_NATIVE=0")
    monkeypatch.setenv("RECSYS_NATIVE", "avx3")
    with pytest.raises(UnknownNameError, match="'avx3'"):
        tables()
    assert description().startswith("not used: ")
