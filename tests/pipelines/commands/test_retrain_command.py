"""`recsys retrain`: what its settings file asks of other verbs is checked before anything begins."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipelines.cli import build


def retrain(folder: Path, tables: str) -> Result:
    config = folder / "weekly.toml"
    config.write_text(f'name = "shop"\n[collect]\n{tables}')
    return CliRunner().invoke(build(), ["retrain", "--config", str(config)])


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("RECSYS_STORE", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('[train]\nmodle = "ease"\n', "[train] modle is no option of `recsys train`"),
        ('[ingest]\nmin_user = "abc"\n', "[ingest] Invalid value"),
        ("[ingest]\nreturns = 5\n", "[ingest] 5 belongs to an option that is set by true"),
        ('[ingest]\nto = "other"\n', "[ingest] to is set by the job itself"),
        ('[promote]\nforce = "it is late"\n', "[promote] force is set by the job itself"),
    ],
)
def test_options_that_a_verb_cannot_take_are_refused_before_anything_begins(
    at_home: Path, table: str, message: str
) -> None:
    done = retrain(at_home, f'logs = ["*.csv"]\n{table}')
    assert done.exit_code == 1
    assert message in str(done.exception)
    assert not (at_home / "home").exists()


def test_values_of_every_kind_are_taken(at_home: Path) -> None:
    table = '[ingest]\nmap = ["user_id=u"]\nreturns = true\nmin_user = 2\n[train]\nmodel = "ease"\nset = ["l2=5"]\n'
    done = retrain(at_home, f'logs = ["none/*.csv"]\n{table}')
    assert "No file matches" in next((at_home / "home").rglob("run.json")).read_text()
    assert done.exit_code == 1


def test_a_store_without_events_is_nothing_new(at_home: Path) -> None:
    done = retrain(at_home, "store = true\n")
    assert done.exit_code == 0, done.output
    assert "the event store holds nothing yet" in next((at_home / "home").rglob("run.json")).read_text()
