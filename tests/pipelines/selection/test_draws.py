import math

import pytest

from pipelines.selection.draws import draw, value_at
from recsys_vae.models.catalog import names, search_space
from recsys_vae.models.search_space import OneOf, Real, Whole


def test_a_draw_takes_each_part_of_a_range_once_and_is_the_same_each_time() -> None:
    space = {"l2": Real(10.0, 10_000.0, log=True), "dropout": Real(0.0, 0.8)}
    found = draw(space, 4, seed=1)
    assert sorted(int(4 * math.log10(float(one["l2"]) / 10) / 3) for one in found) == [0, 1, 2, 3]
    assert sorted(int(float(one["dropout"]) / 0.2) for one in found) == [0, 1, 2, 3]
    assert found == draw(space, 4, seed=1) != draw(space, 4, seed=2)


def test_places_of_a_range() -> None:
    assert [value_at(Whole(100, 300, step=100), place) for place in (0.0, 0.34, 0.999)] == [100, 200, 300]
    assert [value_at(OneOf((3, 5)), place) for place in (0.49, 0.5)] == [3, 5]
    assert value_at(Real(1.0, 100.0, log=True), 0.5) == pytest.approx(10.0)


def test_nothing_is_drawn_from_an_empty_space() -> None:
    assert draw({}, 3, seed=0) == ()


@pytest.mark.parametrize("name", names())
def test_draws_of_every_model_lie_within_its_search_space(name: str) -> None:
    space = search_space(name)
    for one in draw(space, 3, seed=0):
        assert all(value in space[key] for key, value in one.items())
