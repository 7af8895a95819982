import math

import pytest
import torch
from torch import nn

from recsys_vae.nn.gbce import GeneralisedBCE
from recsys_vae.nn.sequences import one_target_each


def test_beta_is_1_without_calibration_and_the_rate_with_all_of_it() -> None:
    assert GeneralisedBCE(10, 0.0).beta(101) == pytest.approx(1.0)
    assert GeneralisedBCE(10, 1.0).beta(101) == pytest.approx(0.1)
    assert GeneralisedBCE(10, 0.75).beta(101) == pytest.approx(0.1 * (0.75 * (1 - 10) + 10))


def test_a_target_that_is_drawn_is_no_negative_of_itself() -> None:
    """All scores are 0, so that each negative costs log 2; the target's is left out."""
    output, generator = nn.Linear(2, 3), torch.Generator().manual_seed(0)
    with torch.no_grad():
        output.weight.zero_()
        output.bias.zero_()
    drawn = torch.randint(3, (6,), generator=torch.Generator().manual_seed(0))
    items = torch.tensor([0, 1, 2])
    found = GeneralisedBCE(6, 0.0, generator)(torch.ones(3, 2), output, one_target_each(items))
    wanted = [math.log(2) * (1 + int((drawn != item).sum())) for item in items]
    assert found.tolist() == pytest.approx(wanted)
