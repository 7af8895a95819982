"""Corruption: the noise that a denoising autoencoder learns to take away.

- gaussian: x + s e, e standard normal, cut off to [0, 1]; the level s is in units of pixels
- masking: each pixel is 0 with probability s (Vincent et al. 2008, section 2.3)
- salt-and-pepper: each pixel is 0 or 1, whichever a coin says, with probability s (Vincent et al. 2010, section 3.3)
"""

from torch import Generator, Tensor

from recsys_vae.errors import ConfigError, UnknownNameError

NOISES = ("gaussian", "masking", "salt-and-pepper")


def check_noise(noise: str, level: float) -> None:
    """Check a kind of noise and its level.

    Raises:
        UnknownNameError: there is no such noise.
        ConfigError: the level is negative, or above 1 where it is a probability.
    """
    if noise not in NOISES:
        raise UnknownNameError("noise", noise, NOISES)
    if not level >= 0 or (noise != "gaussian" and level > 1):
        raise ConfigError(
            f"The level of noise is a deviation of at least 0 (gaussian) or a probability, 0 to 1; got {level}."
        )


def corrupt(x: Tensor, noise: str, level: float, generator: Generator | None = None) -> Tensor:
    """Noisy copies of images in [0, 1], in their shape and in [0, 1] as well.

    Raises:
        UnknownNameError: there is no such noise.
        ConfigError: the level is out of its range.
    """
    check_noise(noise, level)
    if noise == "gaussian":
        return (x + level * x.new_empty(x.shape).normal_(generator=generator)).clamp(0.0, 1.0)
    is_hit = x.new_empty(x.shape).uniform_(generator=generator) < level
    if noise == "masking":
        return x.masked_fill(is_hit, 0.0)
    coins = (x.new_empty(x.shape).uniform_(generator=generator) < 0.5).to(x.dtype)
    return coins.where(is_hit, x)
