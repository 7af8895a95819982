from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from recsys_vae.data.purchases import Visits
from recsys_vae.errors import ConfigError, DataError
from recsys_vae.models.repeat import RepeatConfig, RepeatHead
from tests.worlds import csr

MILK, COFFEE, PAN, N_ITEMS = 0, 1, 2, 6


def grocer(n_users: int = 60) -> Visits:
    """Everybody buys milk every 7 days and coffee every 28, and a pan and one item of three others once."""
    rows = []
    for user in range(n_users):
        rows += [(user, MILK, day) for day in range(user % 7, 120, 7)]
        rows += [(user, COFFEE, day) for day in range(user % 28, 120, 28)]
        rows += [(user, PAN, (user * 5) % 100), (user, 3 + user % 3, (user * 3) % 110)]
    users, items, days = np.array(sorted(set(rows), key=lambda row: (row[0], row[2], row[1]))).T
    return Visits(users, items, days, (n_users, N_ITEMS))


def fitted() -> RepeatHead:
    head = RepeatHead(N_ITEMS)
    head.fit(grocer())
    return head


def bought(rows: list[tuple[int, int]], at: int) -> Any:
    """What one user has bought, (item, day), seen from a day."""
    users, items, days = np.array([(0, item, day) for item, day in rows]).T
    order = np.lexsort((items, days))
    return Visits(users, items[order], days[order], (1, N_ITEMS)).purchases(np.array([at]))


def test_rates_and_gaps_are_counted_and_shrunk() -> None:
    """Of two buyers one came back: with the rate of all, (1 + 1) / (2 + 2), and m = 2: (1 + 1) / (2 + 2).

    The days between its purchases, 2 and 6, and m times their mean 4, over 2 + m.
    """
    head = RepeatHead(1, RepeatConfig(prior=2.0))
    head._count(Visits(np.array([0, 0, 0, 1]), np.zeros(4, np.int64), np.array([1, 3, 9, 5]), (2, 1)))
    assert head.tensors()["rates"].tolist() == [0.5]
    assert head.tensors()["gaps"].tolist() == [4.0]


def test_what_is_due_comes_before_what_is_not_and_what_nobody_buys_again() -> None:
    history = [(MILK, day) for day in range(0, 50, 7)] + [(COFFEE, 0), (COFFEE, 28), (PAN, 20)]
    soon = fitted().probabilities(bought(history, 56)).toarray()[0]
    assert soon[MILK] > 0.5 > soon[COFFEE]
    assert soon[PAN] < 0.1
    assert fitted().probabilities(bought([(COFFEE, 0), (COFFEE, 28)], 56)).toarray()[0, COFFEE] > soon[COFFEE] - 0.1


def test_the_mixture_allows_excludes_and_asks_for_what_was_bought() -> None:
    head, known = fitted(), bought([(MILK, 0), (MILK, 7)], 14)
    scores = np.arange(N_ITEMS, dtype=np.float32)[None]
    allow, exclude, only = (head.blended(scores, known, how)[0] for how in ("allow", "exclude", "only"))
    assert np.isneginf(exclude[MILK])
    assert np.isneginf(only[1:]).all()
    assert allow[MILK] == only[MILK]
    np.testing.assert_array_equal(allow[1:], exclude[1:])
    assert (np.diff(exclude[1:]) > 0).all()


def test_expected_new_items_add_up_to_lambda() -> None:
    head, known = fitted(), bought([(MILK, 0), (PAN, 3)], 14)
    exclude = head.blended(np.zeros((1, N_ITEMS), np.float32), known, "exclude")
    expected = np.exp([1, np.log(3), np.log(3)] @ head.tensors()["new_items"])
    np.testing.assert_allclose(np.exp(exclude).sum(), expected, rtol=1e-5)


def test_what_is_hidden_stays_hidden() -> None:
    head, known = fitted(), bought([(MILK, 0), (MILK, 7)], 14)
    hidden = np.full((1, N_ITEMS), -np.inf, np.float32)
    assert np.isneginf(head.blended(hidden, known)).all()


def test_the_temperature_is_that_of_the_likeliest_visit() -> None:
    """Scores that are log-probabilities of what comes are right as they are: T is about 1."""
    draw, n = np.random.default_rng(0), 4000
    scores = np.log(draw.dirichlet(np.ones(N_ITEMS - 1), n))
    chosen = [1 + draw.choice(N_ITEMS - 1, p=np.exp(row)) for row in scores]
    padded = np.concatenate([np.zeros((n, 1)), scores], axis=1).astype(np.float32)
    known = Visits(np.arange(n), np.zeros(n, np.int64), np.zeros(n, np.int64), (n, N_ITEMS)).purchases()
    targets = csr_array((np.ones(n, np.float32), (np.arange(n), chosen)), shape=(n, N_ITEMS))
    head = fitted()
    head.calibrate(padded, known, targets)
    assert 0.8 < head.tensors()["temperature"][0] < 1.25


def test_a_visit_without_new_items_leaves_the_temperature() -> None:
    head, known = fitted(), bought([(MILK, 0)], 1)
    head.calibrate(np.zeros((1, N_ITEMS), np.float32), known, csr([[MILK]], N_ITEMS))
    assert head.tensors()["temperature"].tolist() == [1.0]


def test_tensors_carry_it_over() -> None:
    head, other, known = fitted(), RepeatHead(N_ITEMS), bought([(MILK, 0), (PAN, 2)], 9)
    other.load_tensors(head.tensors())
    scores = np.zeros((1, N_ITEMS), np.float32)
    np.testing.assert_array_equal(other.blended(scores, known), head.blended(scores, known))


@pytest.mark.parametrize(
    ("name", "wrong"), [("rates", 1.0), ("gaps", -1.0), ("weights", 1e4), ("new_items", -1e4), ("temperature", 0.0)]
)
def test_tensors_that_no_fit_leaves_are_refused(name: str, wrong: float) -> None:
    tensors = fitted().tensors()
    with pytest.raises(DataError):
        RepeatHead(N_ITEMS).load_tensors(tensors | {name: np.full_like(tensors[name], wrong)})


def test_an_empty_history_has_new_items_alone() -> None:
    none = np.zeros(0, np.int64)
    nothing = Visits(none, none, none, (1, N_ITEMS)).purchases()
    found = fitted().blended(np.zeros((1, N_ITEMS), np.float32), nothing)
    assert np.isfinite(found).all()


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="allow, only"):
        fitted().blended(np.zeros((1, N_ITEMS), np.float32), bought([(MILK, 0)], 1), "never")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="above 0"):
        RepeatConfig(prior=0.0)
    once = Visits(np.array([0, 0]), np.array([0, 1]), np.array([1, 2]), (1, 2))
    with pytest.raises(DataError, match="Nobody bought anything again"):
        RepeatHead(2).fit(once)
    with pytest.raises(DataError, match="expected 6"):
        RepeatHead(N_ITEMS).fit(once)
