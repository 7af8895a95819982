import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_vae.native.lookup import Lookup

pytestmark = pytest.mark.usefixtures("compiled")

ids = st.lists(st.text(max_size=20).filter(lambda text: text.isprintable()), unique=True, max_size=150)


@settings(max_examples=60, deadline=None)
@given(held=ids, others=ids)
def test_equals_a_dict(held: list[str], others: list[str]) -> None:
    rows = {item: row for row, item in enumerate(held)}
    wanted = [*held, *others, *held[::2]]
    found = Lookup(held).rows(wanted)
    assert found.tolist() == [rows.get(item, -1) for item in wanted]


@pytest.mark.parametrize("prefix", ["", "item-", "ü"])
def test_many_ids_that_look_alike_are_told_apart(prefix: str) -> None:
    held = [f"{prefix}{number}" for number in range(20_000)]
    table = Lookup(held)
    assert table.rows(held[::-7]).tolist() == list(range(19_999, -1, -7))
    assert table.rows([f"{prefix}{number}" for number in range(20_000, 20_100)]).max() == -1


def test_no_ids_are_in_an_empty_table() -> None:
    table = Lookup([])
    assert table.rows(["a", ""]).tolist() == [-1, -1]
    assert table.rows([]).shape == (0,)
