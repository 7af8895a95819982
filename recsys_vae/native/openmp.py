"""One OpenMP runtime for torch and for the loops: two would each have threads, which fight over the cores.

Wheels of torch bring GCC's runtime, systems may have another or none. The loops are linked without any and take what is
in the process's global scope when they are loaded. FAISS and scikit-learn bring one more, for themselves.
"""

import ctypes
from functools import lru_cache
from pathlib import Path

import torch

from recsys_vae.errors import UnavailableError

ENTRY = "GOMP_parallel"
"""What code compiled by GCC calls; LLVM's and Intel's runtimes have it too."""


@lru_cache(maxsize=1)
def share() -> Path:
    """Put torch's runtime into the global scope; returns its file.

    Raises:
        UnavailableError: torch runs on none that GCC's code can call.
    """
    for scope in (
        None,
        Path(torch.__file__).parent / "lib" / "libtorch_cpu.so",
    ):  # torch has mostly put it there itself
        try:
            entry = getattr(ctypes.CDLL(None if scope is None else str(scope)), ENTRY)
        except (OSError, AttributeError):
            continue
        path = file_of(ctypes.cast(entry, ctypes.c_void_p).value or 0)
        ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)
        return path
    raise UnavailableError(f"torch {torch.__version__} brings no OpenMP runtime with {ENTRY}, which the loops run on")


class _Place(ctypes.Structure):
    """Dl_info of dlfcn.h."""

    _fields_ = (
        ("file", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("symbol", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
    )


def file_of(address: int) -> Path:
    """The library, loaded by this process, that an address lies in."""
    place = _Place()
    if not ctypes.CDLL(None).dladdr(ctypes.c_void_p(address), ctypes.byref(place)):
        raise UnavailableError(f"no library lies at {address:#x}")
    return Path(place.file.decode()).resolve()
