"""Disentanglement: how far each factor of variation is held by one latent alone.

    MIG = (1/K) sum_k (I(z_j(k); v_k) - max over j != j(k) of I(z_j; v_k)) / H(v_k),  j(k) = argmax_j I(z_j; v_k)

1 where each factor can be read from one latent and from no other; 0 where latents share it, or none has it. I is the
mutual information of the mean code, in equal bins, and a factor's value.

Source: Chen, Li, Grosse & Duvenaud, Isolating Sources of Disentanglement in VAEs (NeurIPS 2018), eq. 6; mean codes in
20 bins as in Locatello et al., Challenging Common Assumptions (ICML 2019), appendix B.
"""

import numpy as np
from numpy.typing import NDArray

from recsys_vae.errors import DataError

BINS = 20


def mutual_information_gap(codes: NDArray[np.floating], factors: NDArray[np.integer], *, bins: int = BINS) -> float:
    """The gap averaged over factors, 0 to 1.

    Args:
        codes: mean codes, shape (n, d), d at least 2.
        factors: values of the factors that made each image, shape (n, k), integers.
        bins: equal bins between a latent's least and largest mean.

    Raises:
        DataError: fewer than two latents, codes and factors of a different number of images, or a factor that never
            varies.
    """
    information = mutual_information(codes, factors, bins=bins)
    entropies = np.array([_entropy(_counts(factor)) for factor in factors.T])
    if not entropies.all():
        raise DataError(
            f"Factor {int(np.argmin(entropies))} has one value only: leave it out, nothing can be told of it."
        )
    first, second = -np.sort(-information, axis=0)[:2]
    return float(np.mean((first - second) / entropies))


def mutual_information(
    codes: NDArray[np.floating], factors: NDArray[np.integer], *, bins: int = BINS
) -> NDArray[np.float64]:
    """I(z_j; v_k) in nats of every latent, in bins, and every factor, shape (d, k).

    Raises:
        DataError: fewer than two latents, or codes and factors of a different number of images.
    """
    if codes.ndim != 2 or factors.ndim != 2 or len(codes) != len(factors) or codes.shape[1] < 2:
        raise DataError(
            f"Codes are (n, d) with d at least 2 and factors (n, k); got {codes.shape} and {factors.shape}."
        )
    binned = [_binned(code, bins) for code in codes.T]
    values = [np.unique(factor, return_inverse=True)[1] for factor in factors.T]
    return np.array([[_information(code, value) for value in values] for code in binned])


def _binned(code: NDArray[np.floating], bins: int) -> NDArray[np.integer]:
    edges = np.linspace(code.min(), code.max(), bins + 1)[1:-1]
    binned: NDArray[np.integer] = np.digitize(code, edges)
    return binned


def _information(a: NDArray[np.integer], b: NDArray[np.integer]) -> float:
    joint = _counts(a * (int(b.max()) + 1) + b)
    return _entropy(_counts(a)) + _entropy(_counts(b)) - _entropy(joint)


def _counts(values: NDArray[np.integer]) -> NDArray[np.integer]:
    counts: NDArray[np.integer] = np.unique(values, return_counts=True)[1]
    return counts


def _entropy(counts: NDArray[np.integer]) -> float:
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())
