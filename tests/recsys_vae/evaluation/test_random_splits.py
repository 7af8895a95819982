import numpy as np
import pytest
from hypothesis import given as property_of
from hypothesis import settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from recsys_vae.data.ids import IdMap
from recsys_vae.data.interactions import Interactions
from recsys_vae.errors import ConfigError, DataError, EmptyDataError, UnknownNameError
from recsys_vae.evaluation import entries
from recsys_vae.evaluation.random_splits import given, strong
from recsys_vae.evaluation.splits import HeldOut, Split
from tests.worlds import csr


def interactions(rows: list[list[int]], n_items: int) -> Interactions:
    users = IdMap.from_values(f"u{number:03}" for number in range(len(rows)))
    return Interactions(csr(rows, n_items), users, IdMap.from_values(f"i{number:03}" for number in range(n_items)))


def random_interactions(seed: int, n_users: int = 40, n_items: int = 25) -> Interactions:
    rng = np.random.default_rng(seed)
    return interactions(
        [sorted(rng.choice(n_items, rng.integers(1, 15), replace=False).tolist()) for _ in range(n_users)], n_items
    )


def items_of(part: HeldOut, items: IdMap) -> dict[str, set[str]]:
    """All items of each user, shown and asked for."""
    both = part.histories + part.targets
    return {user: set(items.ids(both[[row]].indices)) for row, user in enumerate(part.users.values)}


def same(one: Split, other: Split) -> bool:
    parts = [
        (s.train.fingerprint(), *(p.histories.toarray().tobytes() for p in (s.validation, s.test)))
        for s in (one, other)
    ]
    return parts[0] == parts[1]


# Twelve users have all of items 0-9, so ten of them train whoever is held out; nobody else has item 10.
DENSE = interactions([list(range(10))] * 12, 11)


def test_strong_holds_out_users_and_asks_for_a_fifth_of_their_items() -> None:
    split = strong(DENSE, heldout=1, seed=0)
    assert (split.train.n_users, split.train.n_items) == (10, 10)
    for part in (split.validation, split.test):
        assert entries.row_lengths(part.histories).tolist() == [8]
        assert entries.row_lengths(part.targets).tolist() == [2]
        assert part.overlap() == 0
    groups = [set(users.values) for users in (split.train.users, split.validation.users, split.test.users)]
    assert set.union(*groups) == set(DENSE.users.values)
    assert sum(map(len, groups)) == 12
    assert split.counts["items_without_training_users"] == 1


@pytest.mark.parametrize(("n_items", "n_targets"), [(1, 0), (2, 1), (4, 1), (5, 1), (9, 1), (10, 2), (14, 2), (15, 3)])
def test_strong_rounds_the_number_of_targets_down_but_asks_for_at_least_one(n_items: int, n_targets: int) -> None:
    split = strong(interactions([list(range(n_items))] * 5, n_items), heldout=1, min_items=1)
    assert entries.row_lengths(split.test.targets).tolist() == [n_targets]
    assert split.counts["test_users_without_targets"] == (n_targets == 0)


def test_strong_drops_what_no_training_user_has_touched_before_folding_in() -> None:
    # Every user has the items 0 and 1 and one of his own: of a held-out user, the two common ones remain.
    split = strong(interactions([[0, 1, 2 + user] for user in range(8)], 10), heldout=1, min_items=1)
    assert split.train.items.values.to_list()[:2] == ["i000", "i001"]
    assert split.train.n_items == 2 + 6
    for name in ("validation", "test"):
        part = split.part(name)
        assert (part.histories.nnz, part.targets.nnz) == (1, 1)
        assert split.counts[f"{name}_interactions_outside_catalogue"] == 1


@settings(deadline=None, max_examples=25)
@property_of(st.integers(0, 2**32), st.floats(0.05, 0.45), st.floats(0.1, 0.9))
def test_strong_loses_and_invents_nothing(seed: int, heldout: float, fold_in: float) -> None:
    data = random_interactions(seed)
    split = strong(data, heldout=heldout, fold_in=fold_in, seed=seed, min_items=1)
    catalogue = set(split.train.items.values)
    for part in (split.validation, split.test):
        assert part.overlap() == 0
        for user, found in items_of(part, split.train.items).items():
            row = data.matrix[[data.users.rows([user])[0]]]
            assert found == set(data.items.ids(row.indices)) & catalogue
    assert split.train.item_counts().min() > 0


def test_the_seed_decides() -> None:
    data = random_interactions(0)
    assert same(strong(data, seed=1, min_items=1), strong(data, seed=1, min_items=1))
    assert not same(strong(data, seed=1, min_items=1), strong(data, seed=2, min_items=1))


def test_strong_leaves_out_users_below_the_minimum_and_counts_them() -> None:
    data = interactions([[0]] * 4 + [list(range(5))] * 10, 5)
    split = strong(data, heldout=2)
    assert split.train.n_users == 6
    assert split.counts["users_with_too_few_items"] == 4


@pytest.mark.parametrize(
    "wrong", [{"heldout": 6}, {"heldout": 0}, {"heldout": 1.5}, {"heldout": 0.5}, {"fold_in": 1.0}]
)
def test_strong_refuses_what_leaves_nobody_to_train_on(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        strong(DENSE, **wrong)


def test_given_takes_the_published_pairs_as_they_are() -> None:
    data = interactions([[0, 1, 2, 3], [0, 1, 2], [1, 3, 4]], 6)
    # Item 4 is nobody's in training; the pair (2, 0) is not among the interactions.
    split = given(data, csr([[3], [], [0, 4]], 6), validation=0.34, seed=0)
    assert split.refit is not None
    assert split.refit.items.values.to_list() == ["i000", "i001", "i002", "i003"]
    assert split.refit.matrix.toarray().tolist() == [[1, 1, 1, 0], [1, 1, 1, 0], [0, 1, 0, 1]]
    assert split.test.users.values.to_list() == ["u000"]
    assert split.test.targets.toarray().tolist() == [[0, 0, 0, 1]]
    assert split.test.histories.toarray().tolist() == [[1, 1, 1, 0]]
    assert split.counts["test_interactions_outside_catalogue"] == 1
    assert split.counts["test_pairs_not_among_interactions"] == 1
    assert split.counts["test_users_without_targets"] == 1  # u002; u001 is no test user


def test_given_validation_is_a_part_of_the_training_part_user_by_user() -> None:
    data = random_interactions(3, n_users=60)
    rng = np.random.default_rng(0)
    pairs = entries.pick(data.matrix, rng.random(data.matrix.nnz) < 0.2)
    split = given(data, pairs, validation=0.25, seed=5)
    assert split.refit is not None
    whole = split.refit.matrix.toarray()
    asked = split.refit.users.rows(split.validation.users.values)
    assert (split.validation.histories.toarray() == split.train.matrix.toarray()[asked]).all()
    assert split.validation.overlap() == split.test.overlap() == 0
    dropped = split.counts["validation_interactions_outside_training"]
    assert split.train.matrix.nnz + split.validation.targets.nnz + dropped == whole.sum()
    lengths = entries.row_lengths(split.refit.matrix)
    cut = lengths - entries.row_lengths(split.train.matrix)
    assert cut.tolist() == np.minimum(np.floor(lengths * 0.25 + 0.5), np.maximum(lengths - 1, 0)).tolist()


def pairs_of(matrix: csr_array) -> set[tuple[int, int]]:
    rows, columns = matrix.nonzero()
    return set(zip(rows.tolist(), columns.tolist(), strict=True))


@settings(deadline=None, max_examples=40)
@property_of(st.integers(0, 2**32), st.integers(1, 6), st.sampled_from([0.1, 0.2, 6]))
def test_every_count_of_a_strong_split_is_what_it_says(seed: int, min_items: int, heldout: float) -> None:
    data = random_interactions(seed)
    split = strong(data, heldout=heldout, seed=seed % 7, min_items=min_items)
    lengths = np.diff(data.matrix.indptr)
    catalogue = set(split.train.items.values)
    assert split.counts["users_with_too_few_items"] == np.count_nonzero(lengths < min_items)
    assert split.counts["items_without_training_users"] == data.n_items - len(catalogue)
    for name in ("validation", "test"):
        part = split.part(name)
        rows = data.users.rows(part.users.values)
        known = [len(catalogue & set(data.items.ids(data.matrix[[row]].indices))) for row in rows]
        assert split.counts[f"{name}_interactions_outside_catalogue"] == lengths[rows].sum() - sum(known)
        assert split.counts[f"{name}_users_without_targets"] == sum(number < 2 for number in known)
        assert part.n_without_targets == split.counts[f"{name}_users_without_targets"]
        assert part.histories.nnz + part.targets.nnz == sum(known)


@settings(deadline=None, max_examples=40)
@property_of(st.integers(0, 2**32))
def test_every_count_of_a_given_split_is_what_it_says(seed: int) -> None:
    data, rng = random_interactions(seed, n_users=15, n_items=20), np.random.default_rng(seed)
    chosen = entries.pick(data.matrix, rng.random(data.matrix.nnz) < 0.3)
    foreign = csr([sorted(rng.choice(20, rng.integers(0, 2), replace=False).tolist()) for _ in range(15)], 20)
    published = csr_array(chosen + foreign)
    published.data[:] = 1.0
    split = given(data, published, validation=0.3, seed=0)
    test_pairs, all_pairs = pairs_of(published), pairs_of(data.matrix)
    training = all_pairs - test_pairs
    catalogue = {item for _, item in training}
    targets = {pair for pair in test_pairs & all_pairs if pair[1] in catalogue}
    assert split.test.targets.nnz == len(targets)
    assert len(split.test.users) == len({user for user, _ in targets})
    assert split.counts["test_pairs_not_among_interactions"] == len(test_pairs - all_pairs)
    assert split.counts["test_interactions_outside_catalogue"] == len((test_pairs & all_pairs) - targets)
    without = {user for user, _ in test_pairs} - {user for user, _ in targets}
    assert split.counts["test_users_without_targets"] == len(without)
    left_out = split.counts["validation_interactions_outside_training"]
    assert split.train.matrix.nnz + split.validation.targets.nnz + left_out == len(training)
    assert split.validation.n_without_targets == split.counts["validation_users_without_targets"]


def test_given_can_draw_validation_from_few_users() -> None:
    data = random_interactions(4)
    split = given(data, entries.pick(data.matrix, np.arange(data.matrix.nnz) % 5 == 0), validation_users=7)
    assert len(split.validation.users) <= 7
    lost = entries.row_lengths(split.training_part.matrix) - entries.row_lengths(split.train.matrix)
    assert np.count_nonzero(lost) == 7


def test_given_refuses_pairs_that_do_not_fit() -> None:
    with pytest.raises(DataError, match="shape"):
        given(DENSE, csr([[0]], 3))
    with pytest.raises(EmptyDataError):
        given(DENSE, csr([[]] * 12, 11))
    with pytest.raises(EmptyDataError, match=r"No user has .*larger"):
        given(DENSE, csr([[0]] * 12, 11), validation=0.01)
    with pytest.raises(ConfigError):
        given(DENSE, csr([[0]] * 12, 11), validation=1.0)


def test_parts_go_by_name() -> None:
    split = strong(DENSE, heldout=1)
    assert split.part("test") is split.test
    assert split.training_part is split.train
    with pytest.raises(UnknownNameError, match="validation"):
        split.part("valdation")


def test_held_out_parts_must_fit_together() -> None:
    with pytest.raises(DataError, match="differ"):
        HeldOut(IdMap.from_values(["a"]), csr([[0]], 2), csr([[0]], 3))
