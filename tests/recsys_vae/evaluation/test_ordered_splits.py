from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_vae.data.ids import IdMap
from recsys_vae.data.interactions import Interactions
from recsys_vae.errors import ConfigError, DataError, EmptyDataError, UnknownNameError
from recsys_vae.evaluation.ordered_splits import Events, Keep, cut_points, last_out, temporal
from recsys_vae.evaluation.splits import HeldOut, Split

Row = tuple[str, str, int]


def events(rows: list[Row]) -> Events:
    """From (user, item, order)."""
    users, items = (IdMap.from_values(row[place] for row in rows) for place in (0, 1))
    return Events(
        users,
        items,
        users.rows([row[0] for row in rows]),
        items.rows([row[1] for row in rows]),
        np.ones(len(rows), dtype=np.float32),
        np.array([row[2] for row in rows], dtype=np.int64),
    )


def told(part: HeldOut, items: IdMap) -> dict[str, tuple[list[str], list[str]]]:
    """What each user is shown and asked for."""
    return {
        user: (items.ids(part.histories[[row]].indices), items.ids(part.targets[[row]].indices))
        for row, user in enumerate(part.users.values)
    }


def known(interactions: Interactions) -> dict[str, list[str]]:
    return {
        user: interactions.items.ids(interactions.matrix[[row]].indices)
        for row, user in enumerate(interactions.users.values)
    }


LOG = [
    ("ann", "a", 1), ("ann", "b", 2), ("ann", "c", 11), ("ann", "a", 12), ("ann", "d", 21),
    ("bob", "b", 3), ("bob", "c", 4), ("bob", "a", 22), ("bob", "b", 23),
    ("cat", "a", 13), ("cat", "b", 24),
    ("dan", "new", 25),
    ("eve", "c", 5), ("eve", "d", 12),
]  # fmt: skip


def test_temporal_cuts_everybody_at_the_same_moments() -> None:
    split = temporal(events(LOG), validation_from=10, test_from=20)
    assert split.refit is not None
    assert known(split.train) == {"ann": ["a", "b"], "bob": ["b", "c"], "eve": ["c"]}
    assert known(split.refit) == {"ann": ["a", "b", "c"], "bob": ["b", "c"], "cat": ["a"], "eve": ["c", "d"]}
    # eve's d is new in the validation window: nothing could have learned it, so she is not asked.
    assert told(split.validation, split.train.items) == {"ann": (["a", "b"], ["c"]), "cat": ([], ["a"])}
    # bob's second b is a repeat; dan's item is unknown.
    assert told(split.test, split.train.items) == {
        "ann": (["a", "b", "c"], ["d"]),
        "bob": (["b", "c"], ["a"]),
        "cat": (["a"], ["b"]),
    }
    assert split.counts == {
        "items_only_in_test": 1,
        "validation_interactions_outside_training": 1,
        "validation_repeats": 1,
        "validation_users_without_targets": 1,
        "test_interactions_outside_training": 1,
        "test_repeats": 1,
        "test_users_without_targets": 1,
    }
    assert split.notes == {"validation_users_without_history": 1, "test_users_without_history": 0}
    assert split.windows == {"validation": 10, "test": 20}


def test_temporal_refuses_cuts_that_leave_a_part_empty() -> None:
    with pytest.raises(ConfigError, match="before"):
        temporal(events(LOG), validation_from=20, test_from=20)
    with pytest.raises(EmptyDataError, match="none may be empty"):
        temporal(events(LOG), validation_from=10, test_from=100)
    with pytest.raises(EmptyDataError):
        temporal(events(LOG), validation_from=0, test_from=20)


def test_cut_points_leave_the_shares_asked_for() -> None:
    order = np.random.default_rng(0).permutation(100)
    assert cut_points(order, validation=0.1, test=0.2) == (70, 80)


def test_cut_points_say_when_times_are_too_coarse() -> None:
    with pytest.raises(EmptyDataError, match="share one time"):
        cut_points(np.array([1] * 50 + [2] * 50), validation=0.1, test=0.1)
    with pytest.raises(ConfigError):
        cut_points(np.arange(10), validation=0.5, test=0.5)


def test_last_out_asks_for_the_last_new_item() -> None:
    log = [
        ("ann", "a", 1), ("ann", "b", 2), ("ann", "c", 3), ("ann", "d", 4),
        ("bob", "a", 1), ("bob", "c", 2), ("bob", "d", 3), ("bob", "a", 4),
        ("cat", "d", 1), ("cat", "b", 2),
        ("dan", "a", 1),
        ("eve", "c", 1), ("eve", "c", 2),
    ]  # fmt: skip
    split = last_out(events(log[::-1]))
    assert split.refit is not None
    assert known(split.train) == {"ann": ["a", "b"], "bob": ["a"], "cat": ["d"], "dan": ["a"], "eve": ["c"]}
    assert told(split.validation, split.train.items) == {"ann": (["a", "b"], ["c"]), "bob": (["a"], ["c"])}
    assert told(split.test, split.train.items) == {
        "ann": (["a", "b", "c"], ["d"]),
        "bob": (["a", "c"], ["d"]),
        "cat": (["d"], ["b"]),
    }
    assert known(split.refit)["bob"] == ["a", "c"]
    assert split.counts["users_with_one_item"] == 2
    assert split.counts["users_with_two_items_not_in_validation"] == 1
    assert split.counts["repeats_after_the_last_new_item"] == 1
    assert split.notes["users_whose_last_two_items_are_tied"] == 0


def test_last_out_breaks_ties_by_item_and_counts_them() -> None:
    log = [("ann", "a", 1), ("ann", "c", 5), ("ann", "b", 5), ("bob", "c", 1), ("bob", "b", 2), ("bob", "a", 3)]
    split = last_out(events(log))
    assert told(split.test, split.train.items)["ann"] == (["a", "b"], ["c"])
    assert split.notes["users_whose_last_two_items_are_tied"] == 1


def test_last_out_needs_users_with_two_items() -> None:
    with pytest.raises(EmptyDataError, match="longer log"):
        last_out(events([("ann", "a", 1), ("bob", "b", 1)]))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.sampled_from("uvwxyz"), st.sampled_from("abcdefgh"), st.integers(0, 30)), min_size=12))
def test_no_split_shows_what_it_asks_for_or_learns_from_the_future(log: list[Row]) -> None:
    first_seen: dict[tuple[str, str], int] = {}
    for user, item, order in log:
        first_seen[user, item] = min(order, first_seen.get((user, item), order))
    for cut in (lambda: temporal(events(log), validation_from=10, test_from=20), lambda: last_out(events(log))):
        try:
            split: Split = cut()
        except EmptyDataError:
            continue
        assert split.refit is not None
        for part, learned in ((split.validation, split.train), (split.test, split.refit)):
            assert part.overlap() == 0
            assert (learned.item_counts()[part.targets.indices] > 0).all()
            for user, (shown, asked) in told(part, split.train.items).items():
                assert shown == known(learned).get(user, [])
                latest = max((first_seen[user, item] for item in shown), default=-1)
                assert latest <= min(first_seen[user, item] for item in asked)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.sampled_from("uvwxyz"), st.sampled_from("abcdefgh"), st.integers(0, 30)), min_size=12))
def test_every_count_of_a_temporal_split_is_what_it_says(log: list[Row]) -> None:
    try:
        split = temporal(events(log), validation_from=10, test_from=20)
    except EmptyDataError:
        return
    catalogue = {item for _, item, order in log if order < 20}
    assert split.counts["items_only_in_test"] == len({item for _, item, _ in log} - catalogue)
    for name, start, end in (("validation", 10, 20), ("test", 20, 31)):
        before = {(user, item) for user, item, order in log if order < start}
        window = {(user, item) for user, item, order in log if start <= order < end}
        learnable = {item for _, item in before}
        targets = {pair for pair in window - before if pair[1] in learnable}
        part, asked = split.part(name), {user for user, _ in targets}
        found = {(user, item) for user, (_, items) in told(part, split.train.items).items() for item in items}
        assert found == targets
        assert set(part.users.values) == asked
        assert split.counts[f"{name}_repeats"] == len(window & before)
        assert split.counts[f"{name}_interactions_outside_training"] == len(window - before - targets)
        assert split.counts[f"{name}_users_without_targets"] == len({user for user, _ in window} - asked)
        assert split.notes[f"{name}_users_without_history"] == len(asked - {user for user, _ in before})


def test_a_next_basket_is_asked_for_with_what_is_repeated_in_it() -> None:
    log = [
        ("ann", "a", 1), ("ann", "b", 2), ("ann", "a", 11), ("ann", "c", 11), ("ann", "b", 13), ("ann", "b", 21),
        ("bob", "a", 3), ("bob", "c", 5), ("bob", "c", 24), ("bob", "b", 25), ("bob", "a", 26),
    ]  # fmt: skip
    split = temporal(events(log), validation_from=10, test_from=20, visit=2)
    assert told(split.validation, split.train.items) == {"ann": (["a", "b"], ["a", "c"])}
    assert told(split.test, split.train.items) == {"ann": (["a", "b", "c"], ["b"]), "bob": (["a", "c"], ["b", "c"])}
    assert split.notes["test_repeated_targets"] == 2
    assert split.counts["validation_interactions_of_later_visits"] == 1
    assert split.counts["test_interactions_of_later_visits"] == 1


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.sampled_from("uvwxyz"), st.sampled_from("abcdefgh"), st.integers(0, 30)), min_size=12))
def test_every_count_of_a_next_basket_is_what_it_says(log: list[Row]) -> None:
    try:
        split = temporal(events(log), validation_from=10, test_from=20, visit=3)
    except EmptyDataError:
        return
    for name, start, end in (("validation", 10, 20), ("test", 20, 31)):
        before = {(user, item) for user, item, order in log if order < start}
        window = [row for row in log if start <= row[2] < end]
        firsts = {user: min(order for who, _, order in window if who == user) // 3 for user, _, _ in window}
        basket = {(user, item) for user, item, order in window if order // 3 == firsts[user]}
        later = {(user, item) for user, item, order in window if order // 3 != firsts[user]}
        learnable = {item for _, item in before}
        targets = {pair for pair in basket if pair[1] in learnable}
        found = {
            (user, item) for user, (_, items) in told(split.part(name), split.train.items).items() for item in items
        }
        assert found == targets
        assert split.notes[f"{name}_repeated_targets"] == split.part(name).overlap() == len(targets & before)
        assert split.counts[f"{name}_interactions_outside_training"] == len(basket - targets)
        assert split.counts[f"{name}_interactions_of_later_visits"] == len(later)
        assert split.counts[f"{name}_disliked_before"] == 0
        assert split.counts[f"{name}_users_without_targets"] == len(firsts) - len({user for user, _ in targets})


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.sampled_from("uvwxyz"), st.sampled_from("abcdefgh"), st.integers(0, 30)), min_size=6))
def test_every_count_of_a_last_out_split_is_what_it_says(log: list[Row]) -> None:
    met: dict[str, list[str]] = {}
    for user, item, _ in sorted(log, key=lambda row: (row[0], row[2], row[1])):
        met.setdefault(user, [])
        if item not in met[user]:
            met[user].append(item)
    try:
        split = last_out(events(log))
    except EmptyDataError:
        return
    assert split.counts["users_with_one_item"] == sum(len(items) == 1 for items in met.values())
    assert split.counts["users_with_two_items_not_in_validation"] == sum(len(items) == 2 for items in met.values())
    for name, least in (("validation", 3), ("test", 2)):
        candidates = sum(len(items) >= least for items in met.values())
        part = split.part(name)
        assert part.targets.nnz == len(part.users)  # one each
        # A window of last-out holds the candidate and, of validation, what was repeated before the next new item.
        assert len(part.users) + split.counts[f"{name}_interactions_outside_training"] == candidates
        assert split.notes[f"{name}_users_without_history"] == 0


@pytest.mark.parametrize(
    ("keep", "learned", "windowed"), [("sum", 6.0, 12.0), ("last", 1.0, 3.0), ("first", 2.0, 4.0), ("max", 3.0, 5.0)]
)
def test_one_event_stands_for_a_pair_on_either_side_of_a_cut(keep: Keep, learned: float, windowed: float) -> None:
    log = [("ann", "a", order) for order in (1, 3, 2, 13, 11, 12)]
    weights = np.array([2, 1, 3, 3, 4, 5], dtype=np.float32)
    found = replace(events(log), weights=weights, keep=keep)
    before = found.order < 10
    assert found.interactions(before).matrix.data.tolist() == [learned]
    assert found.interactions(~before).matrix.data.tolist() == [windowed]


def test_an_unknown_rule_for_repeats_is_named() -> None:
    with pytest.raises(UnknownNameError, match="largest"):
        replace(events(LOG), keep="largest")


def test_events_of_unequal_length_are_refused() -> None:
    ids = IdMap.from_values(["a"])
    with pytest.raises(DataError, match="as many"):
        Events(ids, ids, np.zeros(1, int), np.zeros(2, int), np.ones(1, np.float32), np.zeros(1, int))
