"""Paths through a latent space: straight lines, great circles, and one coordinate at a time."""

import torch
from torch import Tensor

from recsys_vae.errors import ConfigError

NEARLY_PARALLEL = 1e-6
"""Sine of an angle below which a great circle cannot be told from a line in float32."""


def linear(start: Tensor, end: Tensor, steps: int) -> Tensor:
    """Codes on the straight line between two codes, ends included: (1 - t) start + t end.

    Args:
        start, end: one code each, of one shape.
        steps: number of codes, at least 2.

    Returns:
        shape (steps, *code shape).
    """
    t = _progress(start, end, steps)
    return (1 - t) * start + t * end


def spherical(start: Tensor, end: Tensor, steps: int) -> Tensor:
    """Codes on the great circle between two codes, ends included; lengths change steadily from one to the other.

    sin((1 - t) w) / sin(w) start + sin(t w) / sin(w) end, w the angle between both (Shoemake, Animating Rotation with
    Quaternion Curves, 1985). Draws from a standard normal in d dimensions lie near a sphere of radius sqrt(d), and a
    straight line leaves it (White, Sampling Generative Networks, 2016). Codes that point the same or opposite ways
    span no single circle: between those it is the straight line.

    Args and returns: as `linear`.
    """
    t = _progress(start, end, steps)
    cosine = torch.nn.functional.cosine_similarity(start.flatten(), end.flatten(), dim=0)
    angle = torch.arccos(cosine.clamp(-1.0, 1.0))
    if angle.sin() < NEARLY_PARALLEL:
        return linear(start, end, steps)
    return (torch.sin((1 - t) * angle) * start + torch.sin(t * angle) * end) / angle.sin()


PATHS = {"linear": linear, "spherical": spherical}


def traversals(code: Tensor, dimensions: list[int], values: Tensor) -> Tensor:
    """Copies of a code in which one coordinate after the other walks through some values.

    Args:
        code: shape (d,).
        dimensions: coordinates to move, k of them.
        values: what they take in turn, shape (k, steps), or (steps,) the same for all; -3 to 3 spans a standard normal.

    Returns:
        shape (k, steps, d).

    Raises:
        ConfigError: a dimension that the code does not have.
    """
    if outside := [place for place in dimensions if not 0 <= place < len(code)]:
        raise ConfigError(f"The code has dimensions 0 to {len(code) - 1}, not {outside[0]}.")
    walks = values.expand(len(dimensions), -1)
    codes = code.repeat(len(dimensions), walks.shape[1], 1)
    for row, place in enumerate(dimensions):
        codes[row, :, place] = walks[row]
    return codes


def _progress(start: Tensor, end: Tensor, steps: int) -> Tensor:
    if start.shape != end.shape or steps < 2:
        raise ConfigError(
            f"A path joins two codes of one shape in at least 2 steps, got {tuple(start.shape)}, {tuple(end.shape)} "
            f"and {steps} steps."
        )
    return torch.linspace(0, 1, steps).view(-1, *[1] * start.ndim)
