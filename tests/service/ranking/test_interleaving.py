"""Team-draft interleaving: who picks what, and that nobody gains by it who is no better."""

from collections.abc import Sequence
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.ranking.interleaving import Pick, coins, draft

rankings = st.lists(st.sampled_from("abcdefghij"), unique=True, max_size=10)


def drafted(first: str, second: str, k: int, *tosses: int) -> str:
    """Items in order, each with its team: `a0`, `b1`, or `c-` for nobody."""
    return " ".join(f"{item}{'-' if team is None else team}" for item, team in draft((first, second), k, tosses))


def test_a_draft_by_hand() -> None:
    # Both begin with a, so a is nobody's. Then b against c: the coin lets the second side begin. Its c leaves the first
    # side b. Then d against e, by the first side first; both are gone, and f is what both pick next.
    assert drafted("abcdf", "acbef", 6, 1, 0) == "a- c1 b0 d0 e1 f-"
    assert drafted("abcdf", "acbef", 4, 1, 0) == "a- c1 b0 d0"  # the last round has one pick


def test_what_is_left_of_one_list_when_the_other_ends_is_credited_to_nobody() -> None:
    assert drafted("ab", "cdef", 9, 0, 0) == "a0 c1 b0 d1 e- f-"
    assert drafted("", "ab", 2) == "a- b-"


def test_equal_lists_have_no_credit() -> None:
    assert drafted("abc", "abc", 3) == "a- b- c-"


@given(rankings, rankings, st.integers(1, 12), st.text(max_size=5))
def test_a_draft_has_exactly_k_items_without_repetition_and_equal_teams(
    first: list[str], second: list[str], k: int, seed: str
) -> None:
    picks = draft((first, second), k, coins(seed))
    items = [pick.item_id for pick in picks]
    assert len(items) == len(set(items)) == min(k, len({*first, *second}))
    teams = [pick.team for pick in picks if pick.team is not None]
    assert abs(teams.count(0) - teams.count(1)) <= 1
    assert picks == draft((first, second), k, coins(seed))
    for team, ranking in enumerate((first, second)):  # each side picks in its own order
        places = [ranking.index(pick.item_id) for pick in picks if pick.team == team]
        assert places == sorted(places)


@given(rankings, rankings, st.integers(1, 6))
def test_who_clicks_by_place_alone_credits_both_sides_alike(first: list[str], second: list[str], k: int) -> None:
    def credit(tosses: Sequence[int]) -> int:
        """Credits of the first side less those of the second, when place p is clicked 6! / p times."""
        picks = draft((first, second), k, tosses)
        return sum(720 // place * (1, -1)[pick.team] for place, pick in enumerate(picks, 1) if pick.team is not None)

    assert sum(credit(tosses) for tosses in product((0, 1), repeat=6)) == 0


def test_coins_depend_on_the_seed_alone_and_suffice_for_the_longest_list() -> None:
    assert list(coins("ann r1")) == list(coins("ann r1")) != list(coins("ann r2"))
    tossed = [toss for number in range(40) for toss in coins(str(number))]
    assert sum(tossed) / len(tossed) == pytest.approx(0.5, abs=0.02)
    first, second = [f"a{n}" for n in range(1000)], [f"b{n}" for n in range(1000)]
    assert len(draft((first, second), 1000, coins("ann"))) == 1000


def test_a_pick_says_who_is_credited() -> None:
    assert draft((["x"], ["y"]), 2, [1]) == [Pick("y", 1), Pick("x", 0)]
