"""The compiled library: of what the build step has made (build.py), the best that the processor can run, by ctypes.

Nothing depends on it for its results: where none was made, or with RECSYS_NATIVE=0, torch does the same, slower and
equal to rounding. RECSYS_NATIVE=avx2 takes that level and no other.
"""

import ctypes
import json
import os
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from recsys_vae.errors import RecsysError, UnavailableError, UnknownNameError
from recsys_vae.native.build import COMPILED, RECORD, Level, levels
from recsys_vae.native.openmp import share
from recsys_vae.native.switch import SWITCH, is_off


@dataclass(frozen=True, eq=False)
class Library:
    """A level that is loaded.

    Attributes:
        level: which.
        passed_over: better levels, each with the reason why it is not used.
        functions: the loops.
    """

    level: Level
    passed_over: dict[str, str]
    functions: ctypes.CDLL


def library() -> ctypes.CDLL | None:
    """The library, None where it cannot be had."""
    try:
        return loaded()
    except UnavailableError:
        return None


NEWEST = "recsys_ranks"
"""The function that came last: a library without it was compiled before the sources had it."""


def description() -> str:
    """For people: what is used and why, or why nothing is."""
    try:
        found = chosen()
    except RecsysError as reason:
        return f"not used: {reason}"
    compiled = ", ".join(level.name for level in levels() if _file(level.name).is_file())
    why = _grouped(found.passed_over) or "the processor can run them all"
    return f"in use: {found.level.name} (compiled: {compiled}; {why})"


def threads() -> int:
    """Threads that a call uses: as many as torch; where that is not imported, as many as the runtime has."""
    if "torch" in sys.modules:
        import torch

        return torch.get_num_threads()
    return int(ctypes.CDLL(str(share())).omp_get_max_threads())


def loaded() -> ctypes.CDLL:
    """The library.

    Raises:
        UnavailableError: it is switched off, was not compiled, or does not load.
        UnknownNameError: RECSYS_NATIVE names no level.
    """
    return chosen().functions


def chosen() -> Library:
    """The library with its level; raises as `loaded`."""
    found = _chosen(os.environ.get(SWITCH, "1"))
    if isinstance(found, RecsysError):
        raise found
    return found


def obstacles() -> dict[str, str | None]:
    """Levels, the best first, and of each why it cannot be used here; None where it can."""
    there, left_out = _features(), _left_out()
    return {level.name: _obstacle(level, there, left_out) for level in reversed(levels())}


@lru_cache(maxsize=16)
def _chosen(switch: str) -> Library | RecsysError:
    """Loaded at most once a process; a failure too is remembered."""
    known = {level.name: level for level in levels()}
    try:
        if is_off(switch):
            return UnavailableError("RECSYS_NATIVE=0")
    except UnknownNameError as error:
        return error
    passed_over: dict[str, str] = {}
    try:
        for name, obstacle in obstacles().items():
            reason = f"RECSYS_NATIVE={switch}" if switch in known and name != switch else obstacle
            if reason is None:
                functions = _load(name)
                if hasattr(functions, NEWEST):
                    return Library(known[name], passed_over, functions)
                reason = "compiled from older sources; run `make setup` or recsys_vae/native/build.py"
            passed_over[name] = reason
    except (OSError, UnavailableError) as error:
        return UnavailableError(str(error))
    return UnavailableError(_grouped(passed_over))


def _load(name: str) -> ctypes.CDLL:
    share()
    return ctypes.CDLL(str(_file(name)))


def _features() -> frozenset[str]:
    """Instructions that can be used here, none where nothing was compiled that could tell."""
    lowest = levels()[0].name
    if not _file(lowest).is_file():
        return frozenset()
    ask = _load(lowest).recsys_processor
    ask.restype = ctypes.c_char_p
    return frozenset(ask().decode().split())


def _left_out() -> dict[str, str]:
    """Levels that the build step has left out, and why."""
    path = COMPILED / RECORD
    return json.loads(path.read_text())["left_out"] if path.is_file() else {}


def _obstacle(level: Level, there: frozenset[str], left_out: dict[str, str]) -> str | None:
    if not _file(level.name).is_file():
        return left_out.get(level.name, "not compiled when this was installed")
    lacking = sorted(level.needs - there)
    return f"the processor lacks {', '.join(lacking)}" if lacking else None


def _file(name: str) -> Path:
    return COMPILED / f"{name}.so"


def _grouped(reasons: dict[str, str]) -> str:
    """Levels with the same reason together."""
    together = {reason: [name for name in reasons if reasons[name] == reason] for reason in reasons.values()}
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in together.items())
