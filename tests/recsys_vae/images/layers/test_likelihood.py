import pytest
import torch
from torch.distributions import Bernoulli, Normal

from recsys_vae.errors import ConfigError, UnknownNameError
from recsys_vae.images.layers.likelihood import GrayscaleWarning, negative_log_likelihood, pixel_means

X = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]]], [[[1.0, 1.0], [1.0, 0.0]]]])
OUTPUTS = torch.tensor([[[[2.0, -1.0], [0.5, 0.0]]], [[[-3.0, 4.0], [1.0, 1.0]]]])


def test_bernoulli_is_the_negative_log_probability_summed_over_pixels() -> None:
    expected = -Bernoulli(logits=OUTPUTS).log_prob(X).sum(dim=(1, 2, 3))
    torch.testing.assert_close(negative_log_likelihood("bernoulli", OUTPUTS, X), expected)


def test_gaussian_is_the_negative_log_density_with_its_constant() -> None:
    expected = -Normal(OUTPUTS, 0.3).log_prob(X).sum(dim=(1, 2, 3))
    torch.testing.assert_close(negative_log_likelihood("gaussian", OUTPUTS, X, 0.3), expected)


def test_bernoulli_warns_of_grey_pixels_and_gaussian_does_not() -> None:
    grey = X * 0.5
    with pytest.warns(GrayscaleWarning, match="neither 0 nor 1"):
        negative_log_likelihood("bernoulli", OUTPUTS, grey)
    negative_log_likelihood("gaussian", OUTPUTS, grey)  # warnings are errors here


def test_nats_are_float32_under_low_precision() -> None:
    nats = negative_log_likelihood("bernoulli", OUTPUTS.bfloat16(), X.bfloat16())
    assert nats.dtype == torch.float32


def test_pixel_means_lie_in_the_unit_interval() -> None:
    torch.testing.assert_close(pixel_means("bernoulli", OUTPUTS), torch.sigmoid(OUTPUTS))
    assert pixel_means("gaussian", OUTPUTS)[0].flatten().tolist() == [1.0, 0.0, 0.5, 0.0]


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'gaussian'"):
        negative_log_likelihood("gausian", OUTPUTS, X)
    with pytest.raises(ConfigError, match="above 0"):
        negative_log_likelihood("gaussian", OUTPUTS, X, 0.0)
