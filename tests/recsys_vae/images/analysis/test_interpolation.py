import math

import pytest
import torch

from recsys_vae.errors import ConfigError
from recsys_vae.images.analysis.interpolation import linear, spherical, traversals


def test_a_line_goes_through_the_middle() -> None:
    path = linear(torch.tensor([0.0, 2.0]), torch.tensor([4.0, 0.0]), 3)
    assert path.tolist() == [[0, 2], [2, 1], [4, 0]]


def test_a_great_circle_keeps_the_length_and_divides_the_angle() -> None:
    path = spherical(torch.tensor([2.0, 0.0]), torch.tensor([0.0, 2.0]), 4)
    angles = [0, math.pi / 6, math.pi / 3, math.pi / 2]
    torch.testing.assert_close(path, 2 * torch.tensor([[math.cos(a), math.sin(a)] for a in angles]), atol=1e-6, rtol=0)


def test_a_great_circle_takes_codes_of_any_shape_and_ends_where_it_should() -> None:
    start, end = torch.randn(2, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    path = spherical(start, end, 5)
    torch.testing.assert_close(path[0], start)
    torch.testing.assert_close(path[-1], end)


@pytest.mark.parametrize("factor", [2.0, -1.0])
def test_codes_on_one_line_span_no_circle(factor: float) -> None:
    start = torch.tensor([1.0, 2.0])
    torch.testing.assert_close(spherical(start, factor * start, 3), linear(start, factor * start, 3))


def test_a_traversal_moves_one_coordinate_a_row() -> None:
    codes = traversals(torch.tensor([5.0, 6.0, 7.0]), [2, 0], torch.tensor([-1.0, 1.0]))
    assert codes.tolist() == [[[5, 6, -1], [5, 6, 1]], [[-1, 6, 7], [1, 6, 7]]]
    own = traversals(torch.tensor([5.0, 6.0]), [0, 1], torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert own.tolist() == [[[1, 6], [2, 6]], [[5, 3], [5, 4]]]


def test_what_makes_no_path_is_an_error() -> None:
    with pytest.raises(ConfigError, match="at least 2 steps"):
        linear(torch.zeros(2), torch.zeros(2), 1)
    with pytest.raises(ConfigError, match="one shape"):
        spherical(torch.zeros(2), torch.zeros(3), 4)
    with pytest.raises(ConfigError, match="dimensions 0 to 1, not 2"):
        traversals(torch.zeros(2), [2], torch.zeros(3))
