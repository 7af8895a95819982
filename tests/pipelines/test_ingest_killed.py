"""SIGKILL at every step of an ingest: never a half-written dataset, and a rerun ends where it would have ended."""

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

SCRIPT = """
import sys
from pathlib import Path
from pipelines.ingest.cleaning import CleaningRules
from pipelines.dataset.directory import DatasetDir
from pipelines.ingest.ingest import ingest
from pipelines.ingest.log_sources import Source

def pause(step):
    print(step, flush=True)
    if step.startswith(sys.argv[3]):
        sys.stdin.readline()

ingest(
    Source((Path(sys.argv[1]),)), DatasetDir(Path(sys.argv[2])), CleaningRules(min_user=2, min_item=2),
    overwrite=True, rows_per_part=50, step=pause,
)
"""
STEPS = ("reading", "dropping", "taking", "sorting")


def start(log: Path, target: Path, pause_at: str = "never") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, str(log), str(target), pause_at]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(log: Path, target: Path) -> None:
    with start(log, target) as process:
        process.communicate()
    assert process.returncode == 0


def kill_at(step: str, log: Path, target: Path) -> None:
    with start(log, target, step) as process:
        assert process.stdout
        while not process.stdout.readline().startswith(step):
            pass
        process.kill()


def content(target: Path) -> dict[str, bytes | pl.DataFrame]:
    return {
        path.name: pl.read_parquet(path) if path.suffix == ".parquet" else path.read_bytes()
        for path in sorted(target.iterdir())
        if path.is_file()
    }


def assert_equal(one: Path, other: Path) -> None:
    mine, theirs = content(one), content(other)
    assert mine.keys() == theirs.keys()
    for name, table in mine.items():
        assert table.equals(theirs[name]) if isinstance(table, pl.DataFrame) else table == theirs[name]


def write_log(path: Path, rows: int) -> Path:
    table = pl.DataFrame({"user_id": [n % 37 for n in range(rows)], "item_id": [n * n % 53 for n in range(rows)]})
    table.write_csv(path)
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    finish(write_log(folder / "log.csv", 500), folder / "shop")
    return folder


@pytest.mark.parametrize("step", STEPS)
def test_a_killed_ingest_leaves_nothing_and_a_rerun_is_equal(finished, tmp_path, step):
    kill_at(step, finished / "log.csv", tmp_path / "shop")
    assert not (tmp_path / "shop").exists()
    finish(finished / "log.csv", tmp_path / "shop")
    assert_equal(tmp_path / "shop", finished / "shop")
    assert [path.name for path in tmp_path.iterdir()] == ["shop"]


def test_a_killed_overwrite_leaves_the_old_dataset(finished, tmp_path):
    log = write_log(tmp_path / "log.csv", 100)
    finish(log, tmp_path / "shop")
    before = content(tmp_path / "shop")["summary.json"]
    kill_at("sorting", finished / "log.csv", tmp_path / "shop")
    assert content(tmp_path / "shop")["summary.json"] == before


def test_of_several_ingests_of_one_name_one_writes_and_the_others_are_told(finished, tmp_path):
    log = finished / "log.csv"
    finish(log, tmp_path / "shop")
    with start(log, tmp_path / "shop", "dropping") as first:
        while not first.stdout.readline().startswith("dropping"):
            pass
        with start(log, tmp_path / "shop") as second:
            assert f"shop is being worked on by process {first.pid} on" in second.communicate()[1]
        assert_equal(tmp_path / "shop", finished / "shop")
        assert first.communicate("\n")[1] == ""
    assert_equal(tmp_path / "shop", finished / "shop")
    assert [path.name for path in tmp_path.iterdir()] == ["shop"]
