"""Two unbiased estimators of the gradient of E_q(z)[f(z)] in the parameters of q, and how much they vary.

    reparameterization:  d/dphi f(mu + sigma * noise)              needs the gradient of f
    score function:      (f(z) - b) d/dphi log q(z; phi)           needs only its value; b, a baseline, adds no bias

f is -log p(x | z) of an image. The score function's estimate scales with the value of f, hundreds of nats, where the
other scales with its slope: that is why VAEs are trained through the draw.

Source: Kingma & Welling, Auto-Encoding Variational Bayes (ICLR 2014), section 2.2 and 2.4; Williams, Simple Statistical
Gradient-Following Algorithms (1992); comparison as in Mohamed et al., Monte Carlo Gradient Estimation (JMLR 2020).
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from recsys_vae.errors import UnknownNameError
from recsys_vae.nn.gaussians import DiagonalGaussian

Estimator = Literal["reparameterization", "score function", "score function with baseline"]
ESTIMATORS: tuple[Estimator, ...] = ("reparameterization", "score function", "score function with baseline")


def gradient_draws(
    function: Callable[[Tensor], Tensor],
    posterior: DiagonalGaussian,
    estimator: Estimator,
    *,
    draws: int,
    generator: torch.Generator | None = None,
) -> Tensor:
    """One-sample estimates of the gradient of E_q[function] in the mean of q, shape (draws, d).

    Args:
        function: values (m,) of codes (m, d); differentiable for the reparameterization.
        posterior: q of one image, a single row.
        estimator: one of ESTIMATORS; the baseline is the mean of the other draws' values.
        draws: how many estimates, independent but for the baseline; at least 2 with it.

    Raises:
        UnknownNameError: no such estimator.
    """
    if estimator not in ESTIMATORS:
        raise UnknownNameError("gradient estimator", estimator, ESTIMATORS)
    means = posterior.mean.detach().repeat(draws, 1).requires_grad_()
    repeated = DiagonalGaussian(means, posterior.log_variance.detach().repeat(draws, 1))
    z = repeated.sample(generator)
    if estimator == "reparameterization":
        return torch.autograd.grad(function(z).sum(), means)[0]
    z = z.detach()
    with torch.no_grad():
        values = function(z)
    if estimator == "score function with baseline":
        values = values - (values.sum() - values) / (draws - 1)
    return torch.autograd.grad((values * repeated.log_prob(z).sum(dim=1)).sum(), means)[0]


def total_variance(estimates: Tensor) -> float:
    """Sum over the parameters of the variance over the draws, from (draws, d)."""
    return float(estimates.var(dim=0).sum())
