import pytest
import torch

from recsys_vae.errors import UnknownNameError
from recsys_vae.images.analysis.estimators import ESTIMATORS, Estimator, gradient_draws, total_variance
from recsys_vae.nn.gaussians import DiagonalGaussian

POSTERIOR = DiagonalGaussian(torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, -1.0]]))


def shifted_square(z: torch.Tensor) -> torch.Tensor:
    """E_q = 100 + mu^2 + sigma^2, summed over d: its gradient in mu is 2 mu."""
    return 100.0 + z.square().sum(dim=1)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_estimator_is_unbiased(estimator: Estimator) -> None:
    generator = torch.Generator().manual_seed(0)
    draws = gradient_draws(shifted_square, POSTERIOR, estimator, draws=20_000, generator=generator)
    deviations = (draws.mean(dim=0) - torch.tensor([2.0, -4.0])).abs() / (draws.std(dim=0) / 20_000**0.5)
    assert (deviations < 4).all()


def test_variance_is_least_through_the_draw_and_most_without_baseline() -> None:
    variances = [
        total_variance(gradient_draws(shifted_square, POSTERIOR, name, draws=5_000, generator=torch.Generator()))
        for name in ("reparameterization", "score function with baseline", "score function")
    ]
    assert variances[0] * 3 < variances[1]
    assert variances[1] * 30 < variances[2]
    assert variances[0] == pytest.approx(4 * (1.0 + torch.tensor(-1.0).exp().item()), rel=0.1)


def test_an_unknown_estimator_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="score function"):
        gradient_draws(shifted_square, POSTERIOR, "score", draws=2)  # type: ignore[arg-type]
