"""Which device computes, and at what precision."""

import ctypes
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from recsys_vae.errors import ConfigError
from recsys_vae.extras import Deferred

if TYPE_CHECKING:
    import torch
else:
    torch = Deferred("torch")

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Parameters of glibc's mallopt (malloc.h)."""
ACCELERATORS = ("/dev/nvidiactl", "/dev/nvhost-gpu", "/dev/nvgpu", "/dev/nvmap", "/dev/dxg", "/dev/kfd")
"""Device files of which CUDA (on a machine of its own, on a Jetson, under Windows) or ROCm needs one."""


def choose_device(name: str = "auto") -> "torch.device":
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


def device_of_searches() -> "torch.device | str":
    """As `choose_device()`; but on Linux without an accelerator, which is seen without torch, "cpu"."""
    if sys.platform == "linux" and not any(Path(node).exists() for node in ACCELERATORS):
        return "cpu"
    return choose_device()


def choose_precision(name: str, device: "torch.device") -> "torch.dtype":
    """Type of the matrix products: bfloat16 where asked for, or under `auto` where the processor has units for it.

    Emulated bfloat16 is several times slower than float32, so `auto` asks the processor (CUDA compute capability 8.0
    and up; AVX-512 BF16 or AMX on x86).
    """
    if name == "auto":
        return torch.bfloat16 if fast_bfloat16(device) else torch.float32
    return torch.bfloat16 if name == "bf16" else torch.float32


def fast_bfloat16(device: "torch.device") -> bool:
    """Whether the processor multiplies bfloat16 matrices in hardware."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def keep_freed_memory() -> None:
    """Ask glibc to keep large blocks for reuse instead of returning each to the system when it is freed.

    A training step allocates the same gradients again and again; getting 100 MB from the system anew, page by page,
    takes longer than filling it (a quarter of the step at 41k items). With another C library nothing happens.
    """
    if (library := _glibc()) is not None:
        library.mallopt(M_MMAP_MAX, 0)
        library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def return_freed_memory() -> None:
    """Give back to the system what was kept."""
    if (library := _glibc()) is not None:
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    library = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
    return library if hasattr(library, "gnu_get_libc_version") else None
