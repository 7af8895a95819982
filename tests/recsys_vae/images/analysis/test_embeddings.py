import numpy as np
import pytest
import torch

from recsys_vae.errors import DataError
from recsys_vae.images.analysis.embeddings import embed, linear_probe


class Halves:
    """Codes that are the means of the upper and the lower half, plus the label where one is given."""

    def encode(self, x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        means = x.unflatten(2, (2, -1)).mean(dim=(1, 3, 4))
        return means if y is None else means + y[:, None]


def test_embeddings_are_the_codes_whatever_the_batch() -> None:
    x = torch.zeros(5, 1, 4, 4)
    x[:, :, :2] = 1
    assert embed(Halves(), x, batch=2).tolist() == [[1, 0]] * 5
    assert embed(Halves(), x, torch.arange(5), batch=2).tolist() == [[1 + y, y] for y in range(5)]


def test_a_probe_reads_what_is_linear_in_the_codes_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(400, 3)).astype(np.float32)
    labels = (codes[:, 1] > 0).astype(np.int64)
    told = linear_probe(codes[:200], labels[:200], codes[200:], labels[200:])
    assert told.accuracy > 0.95
    assert told.standard_error == pytest.approx(np.sqrt(told.accuracy * (1 - told.accuracy) / 199))
    crossed = (codes[:, 0] * codes[:, 1] > 0).astype(np.int64)
    assert linear_probe(codes[:200], crossed[:200], codes[200:], crossed[200:]).accuracy < 0.65


def test_a_probe_needs_two_classes() -> None:
    with pytest.raises(DataError, match="two labels"):
        linear_probe(np.zeros((3, 2), np.float32), np.zeros(3, np.int64), np.zeros((1, 2), np.float32), np.zeros(1))
