"""What the weekly job collects of the event store: each event once, and nothing new where none has come."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.cli import build
from pipelines.retraining import exit_status, job
from pipelines.retraining.collect import NOTHING_NEW, NOTHING_YET, Collect
from pipelines.retraining.config import Collect as Source
from pipelines.retraining.config import RetrainConfig
from pipelines.retraining.data_steps import Ingest
from pipelines.retraining.erasure_steps import Erase, FindErased
from pipelines.retraining.journal import Status
from pipelines.retraining.run import Result, Run, Work
from service.store.events import Event, EventStore

CONFIG = RetrainConfig(name="shop", collect=Source(store=True))


def recsys(arguments: Sequence[str]) -> int:
    done = CliRunner().invoke(build(), list(arguments))
    print(done.stdout, end="")
    return done.exit_code


def collected() -> tuple[str, list[str]]:
    """How a run of the first steps ends, and what it has done."""
    steps = [Collect(), Ingest(), FindErased(), Erase()]
    assert job.retrain(CONFIG, recsys, lambda line: None, steps=steps) == exit_status.DONE
    journal = job.latest(job.job_folder("shop"))
    assert journal is not None
    return journal.note, [name for name, step in journal.steps.items() if step.status is Status.DONE]


def events(count: int, after: int = 0) -> list[Event]:
    numbers = range(after, after + count)
    return [Event(str(n), f"u{n % 7}", f"i{n % 5}", None, 1.0, 1_700_000_000_000_000 + n) for n in numbers]


def test_a_run_ends_where_no_event_has_come_and_nobody_was_erased(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path))
    address = f"sqlite:///{tmp_path / 'store.db'}"
    monkeypatch.setenv("RECSYS_STORE", address)
    store = EventStore(address)
    try:
        assert collected() == (NOTHING_YET, ["collect"])
        store.take(events(50), "api")
        assert collected() == ("", ["collect", "ingest", "find-erased"])
        store.append([events(1, after=90)], "dataset:other")
        assert collected() == (NOTHING_NEW, ["collect", "find-erased"])
        store.take(events(3, after=50), "api")
        assert collected() == ("", ["collect", "ingest", "find-erased"])
        assert collected() == (NOTHING_NEW, ["collect", "find-erased"])
        store.erase("u3")
        assert collected() == ("", ["collect", "find-erased", "erase"])
        assert collected() == (NOTHING_NEW, ["collect", "find-erased"])
        store.take(events(2, after=70), "api")
        assert collected() == ("", ["collect", "ingest", "find-erased"])
    finally:
        store.close()


class Refuses:
    """A gate that lets nothing pass."""

    name = "gate"

    def prepare(self, run: Run) -> Work:
        return Work(depends_on={"content": run.facts["content"]})

    def conclude(self, run: Run, status: int, told: str) -> Result:
        return Result(stops=exit_status.REFUSED, note="it is worse")


def test_what_was_refused_stays_refused_until_something_new_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path))
    log = tmp_path / "a.csv"
    log.write_text("user_id,item_id\na,x\n")
    config = RetrainConfig(name="shop", collect=Source(logs=(str(log),)))
    lines: list[str] = []
    for taken_up in (["collect", "gate"], ["collect"], ["collect"]):
        status = job.retrain(config, recsys, lines.append, steps=[Collect(), Refuses()])
        assert status == exit_status.REFUSED
        journal = job.latest(job.job_folder("shop"))
        assert journal is not None
        assert list(journal.steps) == taken_up
    assert "that one was stopped: it is worse" in lines[-1]
    log.write_text("user_id,item_id\na,x\nb,y\n")
    assert job.retrain(config, recsys, lines.append, steps=[Collect()]) == exit_status.DONE
