import math

import numpy as np
import pytest

from recsys_vae.errors import DataError
from recsys_vae.images.analysis.disentanglement import mutual_information, mutual_information_gap

FACTORS = np.array([(i, j) for i in range(4) for j in range(5)] * 50)


def test_a_latent_a_factor_is_a_gap_of_one() -> None:
    codes = np.column_stack([FACTORS[:, 1] * -0.3, FACTORS[:, 0] + 7.0])
    assert mutual_information_gap(codes, FACTORS) == pytest.approx(1.0)
    information = mutual_information(codes, FACTORS)
    assert information == pytest.approx(np.array([[0.0, math.log(5)], [math.log(4), 0.0]]), abs=1e-12)


def test_a_factor_held_twice_is_a_gap_of_zero() -> None:
    codes = np.column_stack([FACTORS, FACTORS * 2.0])
    assert mutual_information_gap(codes, FACTORS) == pytest.approx(0.0, abs=1e-12)


def test_a_half_told_factor_is_half_a_gap() -> None:
    codes = np.column_stack([FACTORS[:, 0] >= 2, np.zeros(len(FACTORS))])
    assert mutual_information_gap(codes, FACTORS[:, :1]) == pytest.approx(math.log(2) / math.log(4))


def test_random_codes_have_no_gap() -> None:
    rng = np.random.default_rng(0)
    factors = rng.integers(4, size=(5_000, 3))
    assert mutual_information_gap(rng.normal(size=(5_000, 6)), factors) < 0.01


def test_what_cannot_be_told_is_refused() -> None:
    with pytest.raises(DataError, match="one value only"):
        mutual_information_gap(np.eye(3), np.zeros((3, 1), dtype=int))
    with pytest.raises(DataError, match="d at least 2"):
        mutual_information(np.zeros((3, 1)), np.zeros((3, 1), dtype=int))
