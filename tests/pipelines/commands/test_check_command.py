import json

import pytest
from typer.testing import CliRunner

from pipelines.cli import build

LOG = "user_id,item_id,timestamp\n"


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path / "home"))
    log = tmp_path / "log.csv"
    log.write_text(LOG + "".join(f"u{n},i{n % 7},2024-01-{1 + n % 9:02}\n" for n in range(90)))
    assert run("ingest", str(log), "--to", "shop").exit_code == 0
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(build(), arguments)


def test_a_dataset_is_checked_accepted_and_the_next_compared_with_it(shop):
    first = run("check", "shop", "--accept")
    assert first.exit_code == 0
    assert "the first of its name" in first.output
    assert first.output.splitlines()[-1] == "shop: ok"
    other = shop / "other.csv"
    other.write_text(LOG + "".join(f"u{n},sku{n},2024-01-{1 + n % 9:02}\n" for n in range(90)))
    assert run("ingest", str(other), "--to", "shop", "--overwrite").exit_code == 0
    second = run("check", "shop", "--accept", "--json")
    report = json.loads(second.stdout)
    assert (second.exit_code, report["verdict"], report["against"]) == (1, "stop", "shop up to 2024-01-09")
    assert json.loads(run("check", "shop", "--json").stdout)["verdict"] == "stop"  # what stops is not accepted
    assert run("check", "shop", "--against", "shop").exit_code == 0


def test_limits_are_written_and_read(shop):
    path = shop / "limits.toml"
    assert run("check", "--write-limits", str(path)).exit_code == 0
    path.write_text(path.read_text().replace("[age]\nwarn = false\nstop = false", "[age]\nstop = 1"))
    assert run("check", "shop", "--limits", str(path)).exit_code == 1
    assert "Name the dataset" in str(run("check").exception)
