import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import FieldError
from service.ranking.cursors import LARGEST_DEPTH, Cursor
from service.schemas.recommendations import LONGEST_CURSOR

cursors = st.builds(
    Cursor,
    st.text(min_size=1, max_size=40).filter(lambda text: len(text.encode(errors="replace")) < 200),
    st.none() | st.integers(0, 2**62),
    st.binary(min_size=16, max_size=16),
    st.sets(st.integers(0, 10**7), max_size=50).map(lambda rows: tuple(sorted(rows))),
    st.none() | st.integers(-(10**6), 10**6),
)


@given(cursors)
def test_a_cursor_is_read_as_it_was_written(cursor: Cursor) -> None:
    assert Cursor.read(cursor.write()) == cursor


@given(st.data())
def test_a_cursor_of_which_a_letter_changed_is_refused(data: st.DataObject) -> None:
    text = Cursor("mult-vae-679558afa88b", 7, bytes(range(16)), (1, 5, 400)).write()
    place = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.sampled_from("ABab01-_!=\n é").filter(lambda new: new != text[place]))
    with pytest.raises(FieldError, match="damaged"):
        Cursor.read(text[:place] + letter + text[place + 1 :])


@pytest.mark.parametrize("text", ["", "A", "AVi1tQ", "=" * 10, "é", "A" * 1000])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(FieldError, match="not a cursor"):
        Cursor.read(text)


def test_the_longest_cursor_fits_into_its_field() -> None:
    rows = tuple(range(0, 2_000_000 * LARGEST_DEPTH // 10_000, 2_000_000 // 10_000))
    assert len(rows) == LARGEST_DEPTH
    far = tuple(row * 2_000_000 for row in range(LARGEST_DEPTH // 2))
    assert max(len(Cursor("m" * 100, 1, bytes(16), shown).write()) for shown in (rows, far)) <= LONGEST_CURSOR
