"""The compiled library: built once by the machine's C++ compiler, kept in the user's cache, loaded through ctypes.

Nothing depends on it for its results: where there is no compiler, or with RECSYS_NATIVE=0, torch does the same, slower
and equal to rounding. The file is named by a hash of sources, compiler and processor: a change of any builds anew.
"""

import ctypes
import os
import platform
import shlex
import shutil
import subprocess
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import torch  # its OpenMP must be there first: the library's loops then run on the same threads
from platformdirs import user_cache_path

from recsys_vae.atomic import atomic_file
from recsys_vae.errors import UnavailableError

SOURCES = Path(__file__).parent
FLAGS = ("-std=c++20", "-O3", "-march=native", "-fno-math-errno", "-fPIC", "-shared", "-fopenmp", "-w")
BUILD_SECONDS = 300


def library() -> ctypes.CDLL | None:
    """The library, None where it cannot be had; the first call on a machine takes some seconds to build it."""
    try:
        return loaded()
    except UnavailableError:
        return None


def description() -> str:
    """For people: what is used, or why it is not."""
    try:
        return f"in use: {loaded()._name}"
    except UnavailableError as reason:
        return f"not used: {reason}"


def threads() -> int:
    """Threads that a call uses: as many as torch."""
    return torch.get_num_threads()


def loaded() -> ctypes.CDLL:
    """The library.

    Raises:
        UnavailableError: it is switched off, there is no compiler, or compiling fails.
    """
    found = _loaded(os.environ.get("RECSYS_NATIVE", "1"))
    if isinstance(found, UnavailableError):
        raise found
    return found


@lru_cache(maxsize=2)
def _loaded(switch: str) -> ctypes.CDLL | UnavailableError:
    """Built and loaded at most once a process; a failure too is remembered."""
    if switch == "0":
        return UnavailableError("RECSYS_NATIVE=0")
    command = shlex.split(os.environ.get("CXX", "c++"))
    if shutil.which(command[0]) is None:
        return UnavailableError(f"no C++ compiler ({command[0]}); install one, such as g++, for more speed")
    try:
        path = user_cache_path("recsys_vae") / "native" / f"{_fingerprint(command)}.so"
        if not path.is_file():
            with atomic_file(path) as temporary:
                _build(command, temporary)
        return ctypes.CDLL(str(path))
    except subprocess.CalledProcessError as error:
        return UnavailableError(f"{shlex.join(error.cmd)} failed: {error.stderr.strip()[-500:]}")
    except (OSError, subprocess.TimeoutExpired) as error:
        return UnavailableError(str(error))


def _build(command: list[str], path: Path) -> None:
    files = [str(file) for file in sorted(SOURCES.glob("*.cpp"))]
    subprocess.run(
        [*command, *FLAGS, "-o", str(path), *files], check=True, capture_output=True, text=True, timeout=BUILD_SECONDS
    )


def _fingerprint(command: list[str]) -> str:
    digest = sha256(repr((command, FLAGS, platform.machine(), _processor())).encode())
    version = subprocess.run([*command, "--version"], check=True, capture_output=True, timeout=BUILD_SECONDS)
    digest.update(version.stdout)
    for file in sorted(SOURCES.glob("*.cpp")) + sorted(SOURCES.glob("*.h")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:24]


def _processor() -> str:
    """What -march=native compiles for."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return platform.processor()
    wanted = ("model name", "flags", "Features", "CPU part")
    return "".join(sorted({line for line in cpuinfo.read_text().splitlines() if line.startswith(wanted)}))
