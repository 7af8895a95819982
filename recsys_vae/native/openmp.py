"""One OpenMP runtime for torch and for the loops: two would each have threads, which fight over the cores.

Wheels of torch bring GCC's runtime, systems may have another or none. The loops are linked without any and take what is
in the process's global scope when they are loaded. FAISS and scikit-learn bring one more, for themselves.
"""

import ctypes
import sys
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from recsys_vae.errors import UnavailableError

ENTRY = "GOMP_parallel"
"""What code compiled by GCC calls; LLVM's and Intel's runtimes have it too."""


@lru_cache(maxsize=1)
def share() -> Path:
    """Put torch's runtime into the global scope; returns its file.

    Where its wheel brings the runtime as a file of its own, torch need not be imported: should it be later, it finds
    the file loaded.

    Raises:
        UnavailableError: torch runs on none that GCC's code can call.
    """
    if "torch" not in sys.modules and (found := _beside_torch()) is not None:
        ctypes.CDLL(str(found), ctypes.RTLD_GLOBAL)
        return found
    import torch

    library = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    for scope in (None, library):  # torch has mostly put it there itself
        try:
            entry = getattr(ctypes.CDLL(None if scope is None else str(scope)), ENTRY)
        except (OSError, AttributeError):
            continue
        path = file_of(ctypes.cast(entry, ctypes.c_void_p).value or 0)
        ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)
        return path
    raise UnavailableError(f"torch {torch.__version__} brings no OpenMP runtime with {ENTRY}, which the loops run on")


def _beside_torch() -> Path | None:
    """GCC's runtime in the folder of torch's libraries, which they load; None where there is not just one."""
    package = find_spec("torch")
    if package is None or package.origin is None:
        return None
    files = list((Path(package.origin).parent / "lib").glob("libgomp*.so*"))
    return files[0].resolve() if len(files) == 1 else None


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
