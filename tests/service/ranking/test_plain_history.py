"""A history as text is the history that it says."""

import pytest

from service.ranking.plain_history import PlainHistory
from service.ranking.results import Query


@pytest.mark.parametrize("ids", [["a"], ["b", "a"], ["a, b", "é"]])
def test_it_is_a_history(ids: list[str]) -> None:
    history = PlainHistory("\0".join(ids).encode(), len(ids))
    assert history == dict.fromkeys(ids, 1.0)
    assert (list(history), len(history), list(history.values())) == (ids, len(ids), [1.0] * len(ids))
    assert "nowhere" not in history


def test_a_query_made_from_it_is_one_like_any_other() -> None:
    history = {"a": 1.0}
    quick, usual = Query.of_history(history, 3), Query(3, history)
    assert quick == usual
    assert quick.is_plain
    assert usual.is_plain
    assert vars(quick).keys() == vars(usual).keys()
