import math

import pytest
import torch

from pipelines.images.shapes_dataset import FACTORS, LEVELS, generated_shapes
from recsys_vae.errors import ConfigError


def test_every_combination_of_factors_is_there_once() -> None:
    shapes = generated_shapes()
    assert shapes.images.shape == (1, 32, 32)
    assert shapes.factors.shape == (math.prod(LEVELS), len(FACTORS))
    assert len(torch.unique(shapes.factors, dim=0)) == len(shapes.images)
    assert len(torch.unique(shapes.images.x.flatten(1), dim=0)) == len(shapes.images) - 8
    assert shapes.images.x.unique().tolist() == [0, 255]
    assert torch.equal(shapes.images.y, shapes.factors[:, 0])


def test_factors_are_what_the_picture_shows() -> None:
    shapes = generated_shapes()
    ink = shapes.images.floats()[:, 0]
    area, places = ink.sum(dim=(1, 2)), torch.arange(32) + 0.5
    columns, rows = (ink * places).sum(dim=(1, 2)) / area, (ink * places[:, None]).sum(dim=(1, 2)) / area
    kind, scale, rotation, x, y = shapes.factors.T
    for place, middle in ((x, columns), (y, rows)):
        means = [float(middle[place == value].mean()) for value in range(8)]
        assert means == sorted(means)
        assert means[-1] - means[0] == pytest.approx(16, abs=0.5)
    assert [float(area[(scale == value) & (kind == 0)].mean()) for value in (0, 3)] == pytest.approx(
        [32, 128], rel=0.05
    )
    upright = shapes.images.x[(kind == 0) & (scale == 3) & (rotation == 0), 0]
    assert all(
        image[image.any(dim=1).bool()][:, image.any(dim=0).bool()].all() for image in upright
    )  # a full rectangle


@pytest.mark.parametrize("size", [31, 65])
def test_sizes_out_of_range_are_refused(size: int) -> None:
    with pytest.raises(ConfigError, match="32 to 64"):
        generated_shapes(size)
