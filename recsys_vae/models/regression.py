"""Small regressions with canonical links, by Newton's method: a handful of features, any number of rows.

    minimise  sum_i A(<w, f_i>) - y_i <w, f_i> + l2 / 2 |w|^2       logistic: A(x) = log(1 + e^x);  Poisson: A(x) = e^x

Both are convex, and a step that does not lower the objective is halved.

Source: McCullagh & Nelder, Generalized Linear Models, 1989, sec. 2.5.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

L2 = 1.0
STEPS, HALVINGS = 50, 30
LARGEST = 30.0
"""Of <w, f> in Poisson regression: no mean is larger than e^30."""


def logistic(features: Array, targets: Array, l2: float = L2) -> Array:
    """Weights of a logistic regression, shape (d,).

    Args:
        features: shape (n, d).
        targets: between 0 and 1, shape (n,).
    """

    def of(x: Array) -> tuple[Array, Array, Array]:
        mean = 0.5 * (1 + np.tanh(x / 2))
        return np.logaddexp(0, x), mean, mean * (1 - mean)

    return _newton(features, targets, of, l2)


def poisson(features: Array, targets: Array, l2: float = L2) -> Array:
    """Weights of a Poisson regression with logarithmic link, shape (d,); targets are counts."""

    def of(x: Array) -> tuple[Array, Array, Array]:
        mean = np.exp(np.minimum(x, LARGEST))
        return mean, mean, mean

    return _newton(features, targets, of, l2)


def _newton(features: Array, targets: Array, of: Callable[[Array], tuple[Array, Array, Array]], l2: float) -> Array:
    """Minimise by `of`: A, its first and its second derivative."""
    weights = np.zeros(features.shape[1])

    def objective(w: Array) -> float:
        x = features @ w
        return float((of(x)[0] - targets * x).sum() + l2 / 2 * w @ w)

    value = objective(weights)
    for _ in range(STEPS):
        _, mean, variance = of(features @ weights)
        gradient = features.T @ (mean - targets) + l2 * weights
        step = np.linalg.solve(features.T @ (variance[:, None] * features) + l2 * np.eye(len(weights)), gradient)
        for _ in range(HALVINGS):
            if (lower := objective(weights - step)) <= value:
                break
            step /= 2
        else:
            return weights
        weights, before, value = weights - step, value, lower
        if before - value <= 1e-9 * abs(before):
            break
    return weights
