import numpy as np
import pytest

from recsys_vae.errors import ConfigError, DataError, UnknownNameError
from recsys_vae.images.analysis.latent_map import plane


def two_clouds() -> np.ndarray:
    clouds = np.random.default_rng(0).normal(size=(2, 20, 5)).astype(np.float32)
    clouds[1] += 20
    return clouds.reshape(40, 5)


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_clouds_that_are_apart_stay_apart(method: str) -> None:
    points = plane(two_clouds(), method)
    assert points.shape == (40, 2)
    first, second = points[:20], points[20:]
    spread = max(first.std(axis=0).max(), second.std(axis=0).max())
    assert np.linalg.norm(first.mean(axis=0) - second.mean(axis=0)) > 3 * spread


def test_direct_shows_two_dimensions_as_they_are() -> None:
    codes = np.arange(8, dtype=np.float32).reshape(4, 2, 1, 1)
    assert plane(codes, "direct").tolist() == codes.reshape(4, 2).tolist()


def test_what_cannot_be_laid_out_is_an_error() -> None:
    with pytest.raises(ConfigError, match="use pca or tsne"):
        plane(two_clouds(), "direct")
    with pytest.raises(UnknownNameError, match="tsne"):
        plane(two_clouds(), "t-sne")
    with pytest.raises(DataError, match="at least three"):
        plane(np.zeros((2, 5), dtype=np.float32), "pca")
