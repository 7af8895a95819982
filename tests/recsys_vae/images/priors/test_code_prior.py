from itertools import product

import pytest
import torch

from recsys_vae.errors import ConfigError, DataError, ModelError, UnknownNameError
from recsys_vae.images.layers.code_layout import CodeLayout
from recsys_vae.images.priors.code_distribution import CodeDistribution
from recsys_vae.images.priors.code_prior import create_prior
from recsys_vae.images.priors.prior_config import PriorConfig

ONE_GRID = CodeLayout(((2, 2),), (3,))
TWO_GRIDS = CodeLayout(((1, 2), (2, 2)), (2, 3))
KINDS = ("pixelcnn", "transformer")


def prior(kind: str, layout: CodeLayout, classes: int = 0, seed: int = 0) -> CodeDistribution:
    """A small prior with weights far from uniform."""
    torch.manual_seed(seed)
    config = PriorConfig(prior=kind, prior_width=16, prior_layers=2, prior_heads=2, classes=classes)
    made = create_prior(config, layout)
    assert made is not None
    with torch.no_grad():
        for weight in made.parameters():
            weight.normal_(std=0.3)
    return made.double().eval()


def every_row(layout: CodeLayout) -> torch.Tensor:
    sizes = [size for size, length in zip(layout.sizes, layout.lengths, strict=True) for _ in range(length)]
    return torch.tensor(list(product(*map(range, sizes))))


def test_bits_of_a_layout() -> None:
    assert CodeLayout(((4, 4), (7, 7)), (64, 32)).bits == 16 * 6 + 49 * 5


def test_splitting_and_joining_are_inverse() -> None:
    rows = every_row(TWO_GRIDS)
    top, bottom = TWO_GRIDS.split(rows)
    assert (top.shape[1:], bottom.shape[1:]) == ((1, 2), (2, 2))
    assert torch.equal(TWO_GRIDS.join([top, bottom]), rows)


@pytest.mark.parametrize("layout", [ONE_GRID, TWO_GRIDS], ids=["one grid", "two grids"])
@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_of_all_rows_sum_to_one(kind: str, layout: CodeLayout) -> None:
    rows = every_row(layout)
    for label in (0, 1):
        log_probs = prior(kind, layout, classes=2).log_prob(rows, torch.full((len(rows),), label))
        assert log_probs.exp().sum().item() == pytest.approx(1.0, abs=1e-5)  # summed up in float32
        assert log_probs.std() > 0.1  # and are not uniform


@pytest.mark.parametrize("kind", KINDS)
def test_samples_follow_the_probabilities(kind: str) -> None:
    """Drawing code by code, with what is kept of the past, gives the distribution that the whole network states."""
    layout = CodeLayout(((1, 1), (1, 2)), (2, 3))
    made, n = prior(kind, layout, classes=2), 6_000
    rows, y = every_row(layout), torch.ones(n, dtype=torch.int64)
    drawn = made.sample(n, y, torch.Generator().manual_seed(0))
    shares = (drawn[:, None] == rows).all(dim=2).double().mean(dim=0)
    expected = made.log_prob(rows, y[: len(rows)]).exp().detach()
    assert (shares - expected).abs().max() < 4 * (expected * (1 - expected) / n).sqrt().max()


@pytest.mark.parametrize("kind", KINDS)
def test_logits_depend_on_all_codes_before_and_on_none_after(kind: str) -> None:
    made = prior(kind, TWO_GRIDS)
    codes = torch.zeros(1, TWO_GRIDS.length, dtype=torch.int64)
    before = made.logits(codes, None)
    for changed in range(TWO_GRIDS.length):
        other = codes.clone()
        other[0, changed] = 1
        after = made.logits(other, None)
        differs = [(a - b).abs().amax(dim=(0, 1)) > 0 for a, b in zip(after, before, strict=True)]
        flags = torch.cat(differs).tolist()
        assert not any(flags[: changed + 1])
        assert all(flags[max(changed + 1, 2) :])  # the fine grid depends on all of the coarse one


@pytest.mark.parametrize("kind", KINDS)
def test_the_class_matters(kind: str) -> None:
    made, rows = prior(kind, ONE_GRID, classes=2), every_row(ONE_GRID)
    zeros = torch.zeros(len(rows), dtype=torch.int64)
    assert not torch.allclose(made.log_prob(rows, zeros), made.log_prob(rows, zeros + 1))


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_the_mean_of_the_nats(kind: str) -> None:
    made, rows = prior(kind, ONE_GRID), every_row(ONE_GRID)
    torch.testing.assert_close(made.loss(rows).total, -made.log_prob(rows).mean())


def test_codes_and_labels_out_of_range_are_refused() -> None:
    made = prior("transformer", ONE_GRID, classes=2)
    with pytest.raises(DataError, match="0 to 2"):
        made.log_prob(torch.full((1, 4), 3), torch.zeros(1, dtype=torch.int64))
    with pytest.raises(DataError, match=r"shape \(n, 4\)"):
        made.log_prob(torch.zeros(1, 5, dtype=torch.int64), torch.zeros(1, dtype=torch.int64))
    with pytest.raises(DataError, match="conditional on 2 classes"):
        made.log_prob(torch.zeros(1, 4, dtype=torch.int64))
    with pytest.raises(ModelError, match="not conditional"):
        prior("pixelcnn", ONE_GRID).sample(1, torch.zeros(1, dtype=torch.int64))


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="pixelcnn"):
        PriorConfig(prior="pixelcn")
    with pytest.raises(ConfigError, match="at least 1"):
        PriorConfig(prior_layers=0)
    with pytest.raises(ConfigError, match="multiple of prior_heads"):
        create_prior(PriorConfig(prior="transformer", prior_width=10, prior_heads=4), ONE_GRID)
