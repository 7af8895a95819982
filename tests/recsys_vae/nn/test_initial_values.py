import torch
from torch import nn

from recsys_vae.nn.initial_values import Undrawn


def test_random_weights_are_not_drawn_and_constants_are_set() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    with Undrawn():
        made = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Embedding(5, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert made[0].weight.shape == (4, 3)
    assert torch.equal(made[1].weight, torch.ones(4))


def test_weights_are_drawn_again_outside() -> None:
    with Undrawn():
        nn.Linear(3, 4)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    nn.Linear(3, 4)
    assert not torch.equal(torch.get_rng_state(), before)
