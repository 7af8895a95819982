"""A bundle that was damaged on purpose, checksums and all, is refused or answers with finite scores; nothing else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from recsys_vae.models import catalog


def check(folder: Path, model: str, index: str, *, seed: int, rounds: int) -> None:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-W", "error", "-m", "tests.recsys_vae.damaged_bundles"]
    command += [str(folder), model, index, str(seed), str(rounds)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]  # its last line names the damage that ended the process
    found = json.loads(done.stdout)
    assert found.keys() <= {"refused", "finite"}, found
    assert found["refused"] > rounds / 2


def test_a_damaged_bundle_is_refused_or_answers_finitely(tmp_path: Path) -> None:
    check(tmp_path, "elsa", "flat", seed=0, rounds=80)


@pytest.mark.slow
@pytest.mark.parametrize("model", list(catalog.CATALOG))
def test_any_damaged_bundle_is_refused_or_answers_finitely(tmp_path: Path, model: str) -> None:
    for seed in range(3):
        check(tmp_path / str(seed), model, "flat", seed=seed, rounds=500)


@pytest.mark.slow
@pytest.mark.parametrize("index", ["hnsw", "ivf", "ivfpq", "ondisk"])
def test_any_damaged_index_is_refused_or_answers_finitely(tmp_path: Path, index: str) -> None:
    for seed in range(3):
        check(tmp_path / str(seed), "elsa", index, seed=seed, rounds=500)
