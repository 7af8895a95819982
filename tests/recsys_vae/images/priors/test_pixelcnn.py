import pytest
import torch

from recsys_vae.errors import ConfigError
from recsys_vae.images.priors.pixelcnn import GatedPixelCNN

SIDE = 5


def network(channels_in: int = 1, channels_out: int = 1, *, layers: int = 3, kernel: int = 3, condition: int = 0):
    torch.manual_seed(0)
    return GatedPixelCNN(
        channels_in, channels_out, width=16, layers=layers, kernel=kernel, condition=condition
    ).double()


def influence(model: GatedPixelCNN, row: int, column: int) -> torch.Tensor:
    """Which pixels the output at (row, column) has a gradient to, shape (h, w)."""
    x = torch.randn(1, 1, SIDE, SIDE, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(model(x)[0, 0, row, column], x)
    return gradient[0, 0] != 0


@pytest.mark.parametrize("kernel", [3, 5])
def test_a_pixel_sees_all_pixels_before_it_and_no_other(kernel: int) -> None:
    model = network(kernel=kernel, layers=SIDE)  # reaches over the whole grid: a blind spot would show
    for place in range(SIDE * SIDE):
        seen = influence(model, *divmod(place, SIDE)).flatten()
        assert seen[:place].all()
        assert not seen[place:].any()


def test_a_limited_network_sees_no_further_than_its_reach() -> None:
    model = network(layers=1, kernel=3)
    seen = influence(model, 4, 2)
    assert model.reach == 2
    assert seen.nonzero().tolist() == [[r, c] for r in (2, 3) for c in range(SIDE) if abs(c - 2) <= 1] + [
        [4, 0],
        [4, 1],
    ]


def test_a_kernel_of_one_sees_the_two_neighbours() -> None:
    assert influence(network(layers=2, kernel=1), 2, 2).nonzero().tolist() == [[1, 2], [2, 1]]


def test_filling_gives_the_grid_that_its_own_distributions_say() -> None:
    """Deterministic draws make a grid that is a fixed point: each pixel is what the full network says there."""
    model = network(2, 2, layers=2, condition=3)
    condition = torch.randn(4, 3, SIDE, SIDE, dtype=torch.float64)
    x = model.fill(torch.zeros(4, 2, SIDE, SIDE, dtype=torch.float64), torch.tanh, condition)
    torch.testing.assert_close(x, torch.tanh(model(x, condition)))


def test_a_flat_condition_is_one_map_of_equal_pixels() -> None:
    model = network(condition=3)
    x, flat = torch.randn(2, 1, SIDE, SIDE, dtype=torch.float64), torch.randn(2, 3, dtype=torch.float64)
    everywhere = flat[:, :, None, None].expand(-1, -1, SIDE, SIDE)
    torch.testing.assert_close(model(x, flat), model(x, everywhere))
    assert not torch.allclose(model(x, flat), model(x, -flat))


def test_an_even_kernel_is_refused() -> None:
    with pytest.raises(ConfigError, match="odd kernel"):
        network(kernel=4)
