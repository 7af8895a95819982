import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.store.item_records import RECORD, Dated, ItemChange, ItemRecord, changed, kind_of

NOW = 1_000


def after(*changes: ItemChange, now: int = NOW) -> ItemRecord:
    record = ItemRecord()
    for change in changes:
        record = changed(record, change, now)
    return record


def merge(at: int | None = None, hidden: bool | None = None, **fields: object) -> ItemChange:
    return ItemChange("a", "merge", fields, hidden, at)  # type: ignore[arg-type]


def test_a_merge_leaves_what_it_does_not_name_and_null_removes() -> None:
    record = after(merge(price=1, stock=2), merge(price=None, title="x"))
    assert {name: dated.value for name, dated in record.fields.items()} == {"price": None, "stock": 2, "title": "x"}


def test_of_two_changes_of_a_field_the_later_one_counts_whichever_comes_first() -> None:
    old, new = merge(10, price=1, stock=1), merge(20, price=2)
    assert after(old, new) == after(new, old)
    assert after(new, old).fields == {"price": Dated(2, 20), "stock": Dated(1, 10)}


def test_a_change_without_a_time_is_later_than_all_that_is_held() -> None:
    record = after(merge(5 * NOW, price=1), merge(price=2))
    assert record.fields["price"] == Dated(2, 5 * NOW + 1)


def test_the_same_again_is_no_change_unless_it_tells_a_later_time() -> None:
    record = after(merge(10, price=1, hidden=True))
    assert changed(record, merge(20, price=1), NOW).fields == {"price": Dated(1, 20)}
    assert changed(record, merge(price=1, hidden=True), NOW) == record
    assert changed(record, merge(10, price=2), NOW) == record


def test_what_is_replaced_forgets_all_but_what_is_newer() -> None:
    record = after(
        merge(10, price=1, stock=1), merge(30, title="new"), ItemChange("a", "replace", {"price": 2}, None, 20)
    )
    assert record.fields == {"price": Dated(2, 20), "title": Dated("new", 30)}
    assert record.replaced_at == 20
    again = ItemChange("a", "replace", {"price": 2, "title": "new"})
    assert changed(record, again, NOW) == record


def test_a_deleted_item_stays_so_until_something_later_brings_it_back() -> None:
    gone = after(merge(10, price=1), ItemChange("a", "delete", timestamp=20))
    assert (gone.is_shown, gone.deleted_at, gone.fields) == (False, 20, {})
    assert changed(gone, merge(15, price=3), NOW) == changed(gone, ItemChange("a", "delete"), NOW) == gone
    back = changed(gone, merge(stock=1), NOW)
    assert (back.is_shown, dict(back.fields)) == (True, {"stock": Dated(1, NOW)})


changes = st.builds(
    lambda at, name, value, hidden: merge(at, hidden, **{name: value}),
    st.integers(1, 50), st.sampled_from(["price", "stock"]), st.none() | st.integers(0, 3), st.none() | st.booleans(),
)  # fmt: skip


@given(st.lists(changes, max_size=6, unique_by=lambda change: change.timestamp), st.randoms())
def test_timed_merges_come_to_the_same_in_any_order_and_however_often(sent: list[ItemChange], draw) -> None:
    others = [*sent, *sent]
    draw.shuffle(others)
    assert after(*others) == after(*sorted(sent, key=lambda change: change.timestamp or 0))


@pytest.mark.parametrize(
    ("value", "kind"),
    [("x", "text"), (1, "number"), (1.5, "number"), (True, "flag"), (("x",), "texts"), ((), "texts"),
     ((1, 2.5), "numbers"), ((1, "x"), None), ((True,), None)],
)  # fmt: skip
def test_values_have_kinds(value: object, kind: str | None) -> None:
    assert kind_of(value) == kind  # type: ignore[arg-type]


def test_a_record_comes_back_from_json_as_it_was() -> None:
    record = after(merge(price=1.0, stock=1, new=True, title="1", tags=("1", "x")), merge(hidden=True))
    read = RECORD.validate_json(RECORD.dump_json(record))
    assert read == record
    assert [type(dated.value) for dated in read.fields.values()] == [float, int, bool, str, tuple]
