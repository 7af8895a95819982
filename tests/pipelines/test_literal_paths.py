"""Paths are what they are, also where they look like patterns: the whole path from log to lists in folders so named."""

import re
import shutil
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from pipelines.cli import build
from pipelines.dataset.directory import DatasetDir
from recsys_vae.errors import ConfigError
from recsys_vae.frames import columns_in, read_table, scan_table
from recsys_vae.home import home
from service.deployment.bundle_sources import open_catalogue
from tests.pipelines import logs_of_tastes

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> Result:
    done = CliRunner().invoke(build(), list(arguments))
    assert done.exit_code == 0, (arguments, done.output, done.exception)
    return done


def test_from_log_to_lists_in_folders_that_look_like_patterns(
    tmp_path: Path, mlflow_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, logs = tmp_path / "h[1]*# é", tmp_path / "a[1]*?#%20 é"
    place.mkdir()
    logs.mkdir()
    (tmp_path / "a1").mkdir()  # what the pattern would find
    shutil.copy(mlflow_database, place / "mlflow.db")
    monkeypatch.setenv("RECSYS_HOME", str(place))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    frame = logs_of_tastes.frame(60)
    frame.head(100).write_csv(logs / "x[2].csv")
    frame.slice(100).write_parquet(logs / "y.parquet")
    bundle = str(logs / "bundle")

    run("ingest", str(logs / "x[2].csv"), str(logs / "y.parquet"), "--to", "t[a]")
    run("split", "t[a]", "--protocol", "strong", "--heldout", "10", "--min-items", "4")
    run("train", "t[a]", "--to", bundle, "--model", "ease", "--set", "l2=1", "--register-as", "tastes")
    run("promote", "tastes")
    run("recommend", bundle, "t[a]", "--to", str(logs / "lists.parquet"), "--k", "3")
    run("recommend", bundle, "t[a]", "--to", str(logs / "lists.parquet"), "--k", "3")  # it knows its own file again
    assert read_table(logs / "lists.parquet").height == 60 * 3
    assert open_catalogue("models:/tastes@champion").version == open_catalogue(bundle).version


@pytest.mark.parametrize("name", ["a\nb", "a\\b", "x" * 201, "ü" * 101, "a\udc80"])
def test_a_name_that_no_dataset_can_have_is_refused(recsys_home: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot name a dataset"):
        DatasetDir.to_write(name)


@pytest.mark.parametrize("name", ["a?b", "a%20b"])
def test_a_home_whose_databases_would_lie_elsewhere_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path / name))
    with pytest.raises(ConfigError, match="holds % or"):
        home()


def test_tables_are_read_from_the_file_that_is_named(tmp_path: Path) -> None:
    for name, value in (("t[1]", 1), ("t1", 2)):
        (tmp_path / name).mkdir()
        pl.DataFrame({"a": [value]}).write_parquet(tmp_path / name / "x.parquet")
    path = tmp_path / "t[1]" / "x.parquet"
    assert read_table(path)["a"].to_list() == [1]
    assert scan_table([path, path]).collect()["a"].to_list() == [1, 1]
    assert columns_in(path) == ["a"]


def test_no_table_is_read_past_the_functions_that_take_paths_literally() -> None:
    globbing = re.compile(r"\bpl\.(scan|read)_(parquet|csv|ipc)(_schema)?\((?!BytesIO|data,|header \+)")
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for package in ("recsys_vae", "pipelines", "service")
        for path in sorted((ROOT / package).rglob("*.py"))
        for line in re.sub(r"\(\n\s*", "(", path.read_text()).splitlines()
        if globbing.search(line) and "glob=False" not in line and "_member(" not in line
    ]
    assert found == []
