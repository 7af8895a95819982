import ctypes
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from recsys_vae.errors import UnavailableError
from recsys_vae.native import library as native


@pytest.fixture(autouse=True)
def forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is loaded yet, nothing was built yet."""
    monkeypatch.setattr(native, "user_cache_path", lambda name: tmp_path / name)
    native._loaded.cache_clear()
    yield
    native._loaded.cache_clear()


def stub(folder: Path, script: str) -> str:
    """A compiler that is a shell script."""
    path = folder / "compiler"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_it_is_built_once_and_found_again(tmp_path: Path) -> None:
    assert isinstance(native.loaded(), ctypes.CDLL)
    (built,) = (tmp_path / "recsys_vae" / "native").iterdir()
    when = built.stat().st_mtime_ns
    native._loaded.cache_clear()
    assert native.description() == f"in use: {built}"
    assert built.stat().st_mtime_ns == when


def test_it_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_NATIVE", "0")
    assert native.library() is None
    assert native.description() == "not used: RECSYS_NATIVE=0"


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert native.library() is None
    with pytest.raises(UnavailableError, match=r"no C\+\+ compiler \(no-such-compiler\)"):
        native.loaded()


def test_a_failing_compiler_is_quoted_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", stub(tmp_path, '[ "$1" = --version ] || { echo "bad flag" >&2; exit 1; }'))
    assert "bad flag" in native.description()
    assert list((tmp_path / "recsys_vae" / "native").iterdir()) == []


def test_what_is_no_library_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = 'while [ $# -gt 0 ]; do [ "$1" = -o ] && echo nonsense > "$2"; shift; done'
    monkeypatch.setenv("CXX", stub(tmp_path, script))
    assert native.library() is None
    assert "not used" in native.description()


def test_its_loops_run_on_the_threads_of_torch() -> None:
    """A second OpenMP runtime would bring threads of its own, which would fight over the cores."""
    code = (
        "import re; from recsys_vae.native.library import loaded; loaded();"
        "print(len(set(re.findall(r'\\S*/lib(?:gomp|iomp5|omp)\\S*', open('/proc/self/maps').read()))))"
    )
    if not Path("/proc/self/maps").exists():
        pytest.skip("only Linux lists what a process has loaded")
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(answer.stdout) == 1
