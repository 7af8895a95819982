"""How likely items are to be shown, by hand and by drawing again and again."""

import numpy as np
import pytest

from service.ranking.interleaving import coins, draft
from service.ranking.propensities import Chances, mixed, of_list


def test_a_list_gives_way_to_as_many_newcomers_as_are_drawn() -> None:
    found = of_list(["a", "b", "c"], 3, [(0, 0.75), (1, 0.25)], {"n", "m"}, 2)
    assert [found.of(item) for item in "abcnmx"] == [1.0, 1.0, 0.75, 0.125, 0.125, 0.0]
    assert sum(found.of(item) for item in "abcnm") == 3  # as many as places
    assert of_list(["a"], 3, [(2, 1.0)], "nmk", 3).of("n") == pytest.approx(2 / 3)
    assert of_list(["a"], 3, [(0, 1.0)], "", 0).of("n") == 0


def test_lists_of_variants_count_by_their_shares() -> None:
    one, other = Chances({"a": 1.0, "b": 1.0}), Chances({"b": 1.0, "c": 0.5})
    assert mixed("abc", [(0.75, one), (0.25, other)]) == (0.75, 1.0, 0.125)
    assert mixed("a", [(0.75, one), (0.25, None)]) is None
    assert mixed("", [(1.0, one)]) == ()


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_of_a_draft_the_last_place_alone_is_drawn(k: int) -> None:
    lists = ("abcdef", "bxaycz")
    drafts = [{pick.item_id for pick in draft(lists, k, coins(f"{seed}"))} for seed in range(400)]
    shares = {item: np.mean([item in one for one in drafts]) for item in set().union(*drafts)}
    drawn = [share for share in shares.values() if share < 1]
    assert len(drawn) in (0, 2)
    assert drawn == pytest.approx([0.5] * len(drawn), abs=0.08)
