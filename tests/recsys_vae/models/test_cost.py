import pytest
from torch import nn

from recsys_vae.models.catalog import entry, names
from recsys_vae.models.cost import Cost, Sizes, cost_of_weights, expected_cost
from recsys_vae.models.entry import Entry
from tests.worlds import SMALL

SIZES = Sizes(n_users=10, n_items=100, n_interactions=200)


def test_pairs_are_counted_as_if_everybody_had_equally_many() -> None:
    assert SIZES.pairs == 10 * 20**2
    assert Sizes(1, 3, 9).pairs == 9  # no more than there are


def test_closed_forms_say_what_they_take() -> None:
    ease = expected_cost(entry("ease"), None, SIZES)
    assert ease == Cost(4 * 100 * (100 + 6 * 100), 2 * 4000 + 100**3, 4 * 100**2 + 800)
    popularity = expected_cost(entry("popularity"), None, SIZES)
    assert popularity == Cost(400, 200, 400)


class Two(nn.Module):
    """Two weights an item."""

    def __init__(self, n_items: int, config: object) -> None:
        super().__init__()
        self.layer = nn.Linear(2, n_items, bias=False)


def test_a_model_by_gradient_is_told_by_its_weights() -> None:
    assert cost_of_weights(Two, None, SIZES) == Cost(20 * 200 + 12 * 500 * 100, 6 * 200 * 10, 4 * 200)
    assert expected_cost(Entry(dict, Two, ""), None, SIZES) == cost_of_weights(Two, None, SIZES)


def test_of_others_nothing_is_known() -> None:
    assert expected_cost(Entry(dict, object, ""), None, SIZES) is None


@pytest.mark.parametrize("name", [name for name in names() if name != "blend"])
def test_a_wider_catalogue_takes_more(name: str) -> None:
    config = SMALL.get(name) or entry(name).config()
    costs = [expected_cost(entry(name), config, Sizes(1000, n_items, 50_000)) for n_items in (100, 1000)]
    if None not in costs:
        narrow, wide = (cost for cost in costs if cost)
        assert wide.n_bytes > narrow.n_bytes > 0
        assert wide.operations >= narrow.operations > 0
