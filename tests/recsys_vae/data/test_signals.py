"""One rule makes evidence of events, in training and in serving; solved by hand."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from recsys_vae.data.signals import UNTIMED, SignalRules, disliked, evidence, in_order, liked, signed
from recsys_vae.errors import ConfigError

DAY = 86_400_000_000
RULES = SignalRules(dislikes=("hide",), dislike_below=0.5, event_weights=(("buy", 5.0), ("*", 2.0)))


@pytest.mark.parametrize(
    ("kind", "value", "weight"),
    [
        ("buy", 1.0, 5.0),
        ("view", 1.0, 2.0),
        (None, 3.0, 6.0),
        ("hide", 1.0, -2.0),
        ("buy", 0.25, -1.25),
        ("hide", -1.0, -2.0),
    ],
)
def test_an_event_counts_by_its_kind_and_value_and_against_the_item_where_the_rules_say_so(
    kind: str | None, value: float, weight: float
) -> None:
    assert RULES.weight(kind, value) == weight


@pytest.mark.parametrize(
    ("keep", "weight"),
    [("last", 3.0), ("first", 1.0), ("max", 4.0), ("sum", 8.0)],
)
def test_the_latest_event_says_for_or_against_and_those_of_its_sign_how_much(keep: str, weight: float) -> None:
    weights = np.array([1.0, 4.0, -7.0, 3.0, 9.0, -2.0])
    items = np.array([5, 5, 5, 5, 3, 3])
    found = evidence(
        np.zeros(6, np.int64), items, weights, np.full(6, UNTIMED), SignalRules(keep=keep)  # type: ignore[arg-type]
    )  # fmt: skip
    assert found.items.tolist() == [3, 5]
    assert found.weights.tolist() == [-2.0, weight]
    assert found.places.tolist() == [6, 4]


def test_ages_count_from_the_latest_event_of_the_same_user_so_no_clock_is_asked() -> None:
    users, items = np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 0, 1])
    times = np.array([0, UNTIMED, 2 * DAY, 50 * DAY, 51 * DAY])
    found = evidence(users, items, np.ones(5), times, SignalRules(half_life=1.0))
    assert found.weights.tolist() == [0.25, 0.25, 1.0, 0.5, 1.0]
    later = np.where(times == UNTIMED, UNTIMED, times + 1000 * DAY)
    assert (evidence(users, items, np.ones(5), later, SignalRules(half_life=1.0)).weights == found.weights).all()


def test_nobody_has_no_evidence() -> None:
    none = np.zeros(0, dtype=np.int64)
    assert len(evidence(none, none, none.astype(float), none, SignalRules()).users) == 0


def test_a_signed_matrix_is_divided_again_and_what_is_in_both_is_liked() -> None:
    for_it = csr_array(np.array([[1, 0, 2], [0, 0, 0]], dtype=np.float32))
    against = csr_array(np.array([[0, 3, 4], [1, 0, 0]], dtype=np.float32))
    both = signed(for_it, against)
    assert both.toarray().tolist() == [[1, -3, 2], [-1, 0, 0]]
    assert both.dtype == np.float32
    assert liked(both).toarray().tolist() == for_it.toarray().tolist()
    assert disliked(both).toarray().tolist() == [[0, 3, 0], [1, 0, 0]]
    assert liked(for_it) is for_it
    assert signed(for_it, None) is for_it


def test_items_come_in_the_order_of_their_places() -> None:
    order = csr_array(np.array([[2, 0, 1], [0, 3, 7]], dtype=np.float32))
    assert [row.tolist() for row in in_order(order)] == [[2, 0], [1, 2]]


def test_rules_survive_a_manifest() -> None:
    assert SignalRules.read(RULES.described()) == RULES
    assert SignalRules().described() == {}
    with pytest.raises(ConfigError, match="have no 'colour'"):
        SignalRules.read({"colour": 1})
    with pytest.raises(ConfigError, match="no rules of signals"):
        SignalRules.read({"half_life": "long"})


@pytest.mark.parametrize("wrong", [{"keep": "best"}, {"half_life": 0.0}, {"dislike_below": float("nan")}])
def test_rules_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        SignalRules(**wrong)  # type: ignore[arg-type]
