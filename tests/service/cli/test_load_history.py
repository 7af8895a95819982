"""`recsys load-history`, and what it would do."""

from contextlib import closing
from pathlib import Path

from typer.testing import CliRunner

from pipelines.cli import build
from service.store.events import EventStore
from tests.service.jobs.test_history_import import table, write


def test_a_dry_run_says_what_would_be_loaded_and_forgotten_and_changes_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/events.db"
    folder = write(tmp_path / "shop", table(user_id=["u", "v"], item_id=["a", "b"], weight=[1.0, 1.0]))

    def run(*options: str) -> str:
        command = ["load-history", str(folder), "--store", url, *options]
        return CliRunner().invoke(build(), command, catch_exceptions=False).output

    assert "2 events would be loaded; of the 0 that the store holds of it, all stay" in run("--dry-run")
    with closing(EventStore(url)) as store:
        assert store.sources() == []
    assert "2 new" in run()
    assert "of the 2 that the store holds of it, all would be forgotten first" in run("--replace", "--dry-run")
    assert "2 known already" in run()
