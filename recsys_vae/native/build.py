"""Compiles the loops, once for each level of instructions that pays: what a wheel carries and an editable install has.

The build step runs it (hatch_build.py), where there is nothing but the standard library, not even this package.
`python recsys_vae/native/build.py` does the same in place, after a change of the sources.

No level depends on the machine that compiles. Where there is no compiler, or it refuses, levels are left out with a
note that travels with the others: torch then does the same, slower, and `recsys doctor` says so.
"""

import json
import os
import platform
import shlex
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

SOURCES = Path(__file__).parent
COMPILED = SOURCES / "compiled"
RECORD = "build.json"
TABLES, PARQUET = "tables", "parquet"
"""Each of sources (tables*.cpp, parquet*.cpp) and a library of its own: loaded without torch, so it has no OpenMP, and
one level for any processor."""
# -fopenmp is for the compiler alone: linked without a runtime, a library takes the one that torch has (openmp.py).
COMPILE = ("-std=c++20", "-O3", "-fno-math-errno", "-fPIC", "-fopenmp", "-fvisibility-inlines-hidden", "-w")
LINK = ("-shared", "-s")
SECONDS = 300


class Level(NamedTuple):
    """A set of instructions.

    Attributes:
        name: for people, for RECSYS_NATIVE, and of the file.
        flags: how the compiler is told.
        needs: what a processor must have, as machine.cpp names it.
    """

    name: str
    flags: tuple[str, ...] = ()
    needs: frozenset[str] = frozenset()


V3 = frozenset({"avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "popcnt"})
V4 = V3 | {"avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"}
WIDE = ("-march=x86-64-v4", "-mprefer-vector-width=512", "-mavx512vnni")
BF16 = (*WIDE, "-mavx512bf16")
X86 = (
    Level("baseline"),
    Level("avx2", ("-march=x86-64-v3",), V3),
    Level("avxvnni", ("-march=x86-64-v3", "-mavxvnni"), V3 | {"avxvnni"}),
    Level("avx512", WIDE, V4 | {"avx512vnni"}),
    Level("avx512bf16", BF16, V4 | {"avx512vnni", "avx512bf16"}),
    Level(
        "amx",
        (*BF16, "-mamx-tile", "-mamx-int8", "-mamx-bf16"),
        V4 | {"avx512vnni", "avx512bf16", "amxbf16", "amxint8"},
    ),
)


def levels() -> tuple[Level, ...]:
    """Those of this kind of machine, the slowest first; the first of them runs on any processor."""
    return X86 if platform.machine() in ("x86_64", "AMD64") else X86[:1]


def build(folder: Path, say: Callable[[str], object]) -> list[Path]:
    """Compile all levels into a folder, which is emptied first; returns what was made, a record of it included.

    Nothing is raised for want of a compiler: `say` is told, and the record holds the reason.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    compiler = _compiler()
    with TemporaryDirectory() as objects, ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = {
            level.name: [
                pool.submit(_compile, compiler, level, source, Path(objects))
                for source in SOURCES.glob("*.cpp")
                if not source.stem.startswith((TABLES, PARQUET))
            ]
            for level in levels()
        }
        for name in (TABLES, PARQUET):
            jobs[name] = [
                pool.submit(_compile, compiler, levels()[0], source, Path(objects))
                for source in SOURCES.glob(f"{name}*.cpp")
            ]
        reasons = {name: _link(compiler, jobs[name], folder / f"{name}.so") for name in jobs}
    left_out = {name: reason for name, reason in reasons.items() if reason}
    for reason in dict.fromkeys(left_out.values()):
        names = ", ".join(name for name, given in left_out.items() if given == reason)
        say(f"Loops are not compiled for {names}; torch will do the same, slower. {reason}")
    (folder / RECORD).write_text(json.dumps({"compiler": shlex.join(compiler), "left_out": left_out}, indent=2) + "\n")
    return sorted(folder.iterdir())


def _compiler() -> list[str]:
    """The command that CXX names, else GCC's, else the system's."""
    named = shlex.split(os.environ.get("CXX", ""))
    return named or [next((name for name in ("g++", "c++") if shutil.which(name)), "g++")]


def _compile(compiler: list[str], level: Level, source: Path, folder: Path) -> Path:
    """The object of one source file."""
    made = folder / f"{level.name}-{source.stem}.o"
    _run([*compiler, *COMPILE, *level.flags, "-c", str(source), "-o", str(made)])
    if b"__kmpc_" in made.read_bytes():
        raise RuntimeError(f"{shlex.join(compiler)} needs LLVM's OpenMP, and torch brings GCC's: set CXX=g++.")
    return made


def _link(compiler: list[str], jobs: list[Future[Path]], made: Path) -> str | None:
    """Make the library of these objects, or say why there is none."""
    try:
        _run([*compiler, *LINK, "-o", str(made), *sorted(str(job.result()) for job in jobs)])
    except (OSError, RuntimeError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None


def _run(command: list[str]) -> None:
    if shutil.which(command[0]) is None:
        raise RuntimeError(f"There is no C++ compiler ({command[0]}): install one, such as g++, and install again.")
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr.strip()[-500:]}")


if __name__ == "__main__":
    build(COMPILED, print)
