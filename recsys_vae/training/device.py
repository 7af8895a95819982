"""Which device computes, and at what precision."""

import torch

from recsys_vae.errors import ConfigError


def choose_device(name: str = "auto") -> torch.device:
    """`auto`: CUDA, then Apple's MPS, then the CPU; otherwise the device of that name.

    Raises:
        ConfigError: no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"Device {name!r} cannot be used here: {error}. Use auto, cpu, cuda, cuda:N or mps."
        ) from error
    return device


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Type of the matrix products: bfloat16 where asked for, or under `auto` where the processor has units for it.

    Emulated bfloat16 is several times slower than float32, so `auto` asks the processor (CUDA compute capability 8.0
    and up; AVX-512 BF16 or AMX on x86).
    """
    if name == "auto":
        return torch.bfloat16 if fast_bfloat16(device) else torch.float32
    return torch.bfloat16 if name == "bf16" else torch.float32


def fast_bfloat16(device: torch.device) -> bool:
    """Whether the processor multiplies bfloat16 matrices in hardware."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
