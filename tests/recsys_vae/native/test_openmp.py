import subprocess
import sys
from pathlib import Path

import pytest

from recsys_vae.native.build import COMPILED

PROGRAM = """
import ctypes, re, sys{others}
from recsys_vae.native.library import loaded
from recsys_vae.native.openmp import file_of
place = loaded().recsys_openmp
place.restype = ctypes.c_void_p
print(file_of(place()))
assert "torch" not in sys.modules
import torch
torch.rand(10**6).exp()
print(*set(re.findall(r"\\S*/lib(?:gomp|iomp5|omp)\\S*", open("/proc/self/maps").read())))
"""


def loaded_after(others: str) -> tuple[str, list[str]]:
    """The file of the runtime that the loops use, and all that the process holds."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(others=others)], capture_output=True, text=True, check=True
    )
    used, runtimes = done.stdout.splitlines()
    return used, runtimes.split()


@pytest.fixture(autouse=True)
def _compiled() -> None:
    if not Path("/proc/self/maps").exists():
        pytest.skip("only Linux lists what a process has loaded")
    if not list(COMPILED.glob("*.so")):
        pytest.skip("nothing is compiled here")


def test_the_loops_run_on_the_threads_of_torch_and_bring_no_others() -> None:
    used, runtimes = loaded_after("")
    assert runtimes == [used]
    assert Path(used).parent.name == "lib"
    assert Path(used).parent.parent.name == "torch"


def test_they_do_so_too_where_faiss_has_brought_another_before() -> None:
    used, _ = loaded_after(", faiss")
    assert Path(used).parent.parent.name == "torch"


def test_no_runtime_of_the_system_is_asked_for() -> None:
    assert [path.name for path in COMPILED.glob("*.so") if b"libgomp" in path.read_bytes()] == []
