"""The weekly job with steps that only count: what is done once, what is done again, and how it ends."""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pipelines.retraining import exit_status, job
from pipelines.retraining.config import Collect, RetrainConfig
from pipelines.retraining.journal import Status
from pipelines.retraining.run import Result, Run, Skip, Work
from recsys_vae.errors import DataError
from recsys_vae.locks import exclusive
from tests.prepared import waiting

CONFIG = RetrainConfig(name="shop", collect=Collect(logs=("*.csv",)))
NAMES = ("one", "two", "three")


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours catches it."""


@dataclass
class Noted:
    """A step that makes a file, which the next one needs."""

    name: str
    result: Result = field(default_factory=Result)
    skip: str = ""

    def prepare(self, run: Run) -> Work | Skip:
        if self.skip:
            return Skip(self.skip)
        made = run.folder / f"{self.name}.made"
        return Work(command=(self.name, str(made)), made=made, instead=("finish", self.name))

    def conclude(self, run: Run, status: int, told: str) -> Result:
        assert told in (f"{self.name} is made\n", "")
        return self.result


@dataclass
class Recsys:
    """Verbs that note what they were asked for; at one call the process is killed, before or after the work."""

    dies_before: int = -1
    dies_after: int = -1
    fails: str = ""
    asked: list[tuple[str, ...]] = field(default_factory=list)

    def __call__(self, arguments: Sequence[str]) -> int:
        if len(self.asked) == self.dies_before:
            raise Killed
        self.asked.append(tuple(arguments))
        if arguments[0] == self.fails:
            raise DataError("the disk is gone")
        if arguments[0] != "finish":
            Path(arguments[1]).write_text("made")
            print(f"{arguments[0]} is made")
        if len(self.asked) - 1 == self.dies_after:
            raise Killed
        return 0

    @property
    def verbs(self) -> list[str]:
        return [arguments[0] for arguments in self.asked]


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path))
    return tmp_path


def run(recsys: Recsys, steps: Sequence[Any] | None = None, lines: list[str] | None = None) -> int:
    said: list[str] = [] if lines is None else lines
    return job.retrain(CONFIG, recsys, said.append, steps=steps or [Noted(name) for name in NAMES])


def journals() -> list[Any]:
    return [job.read_journal(folder) for folder in job.runs(job.job_folder("shop"))]


def test_every_step_is_done_once_and_told_of() -> None:
    recsys, lines = Recsys(), []
    assert run(recsys, lines=lines) == exit_status.DONE
    assert recsys.verbs == list(NAMES)
    [journal] = journals()
    assert [step.status for step in journal.steps.values()] == [Status.DONE] * 3
    assert journal.status is Status.DONE
    assert "2/3 two: done" in "\n".join(lines)
    assert (job.job_folder("shop") / "runs" / journal.run / "log.txt").read_text().splitlines() == lines


@pytest.mark.parametrize("at", range(3))
def test_a_run_that_was_killed_before_a_step_goes_on_with_it(at: int) -> None:
    with pytest.raises(Killed):
        run(Recsys(dies_before=at))
    recsys = Recsys()
    assert run(recsys) == exit_status.DONE
    assert recsys.verbs == list(NAMES[at:])
    assert len(journals()) == 1


@pytest.mark.parametrize("at", range(3))
def test_what_was_made_just_before_the_kill_is_not_made_again(at: int) -> None:
    with pytest.raises(Killed):
        run(Recsys(dies_after=at))
    recsys = Recsys()
    assert run(recsys) == exit_status.DONE
    assert recsys.verbs == ["finish", *NAMES[at + 1 :]]


def test_what_a_killed_run_left_half_written_is_removed() -> None:
    with pytest.raises(Killed):
        run(Recsys(dies_before=1))
    root = job.job_folder("shop")
    left = [root / ".files.json.0123abcd.partial", root / "runs" / journals()[0].run / ".run.json.0123abcd.partial"]
    for path in left:
        path.write_text("{")
    assert run(Recsys()) == exit_status.DONE
    assert not any(path.exists() for path in left)


def test_a_failed_step_is_named_and_tried_again() -> None:
    lines: list[str] = []
    assert run(Recsys(fails="two"), lines=lines) == exit_status.FAILED
    assert "Step two failed: the disk is gone" in lines[-1]
    assert journals()[0].steps["two"].status is Status.FAILED
    recsys = Recsys()
    assert run(recsys) == exit_status.DONE
    assert recsys.verbs == ["two", "three"]


def test_what_stops_the_job_ends_the_run_and_the_next_one_begins_anew() -> None:
    stopped = [Noted("one"), Noted("two", Result(stops=exit_status.REFUSED, note="worse")), Noted("three")]
    recsys = Recsys()
    assert run(recsys, stopped) == exit_status.REFUSED
    assert recsys.verbs == ["one", "two"]
    assert journals()[0].status is Status.STOPPED
    again = Recsys()
    assert run(again) == exit_status.DONE
    assert again.verbs == list(NAMES)
    assert [journal.status for journal in journals()] == [Status.STOPPED, Status.DONE]


def test_a_step_may_end_the_job_early() -> None:
    recsys = Recsys()
    assert run(recsys, [Noted("one", Result(ends=True, note="nothing new")), Noted("two")]) == exit_status.DONE
    assert recsys.verbs == ["one"]
    assert journals()[0].note == "nothing new"


def test_steps_after_one_that_has_changed_are_done_again() -> None:
    with pytest.raises(Killed):
        run(Recsys(dies_before=2))
    recsys = Recsys()
    assert run(recsys, [Noted("other"), Noted("two"), Noted("three")]) == exit_status.DONE
    assert recsys.verbs == ["other", "two", "three"]


def test_a_step_without_work_says_why() -> None:
    lines: list[str] = []
    assert run(Recsys(), [Noted("one", skip="there is no list"), Noted("two")], lines) == exit_status.DONE
    assert any("1/2 one: nothing to do, there is no list" in line for line in lines)


def test_two_runs_do_not_meet() -> None:
    script = (
        "import sys; from tests.pipelines.retraining.test_job import CONFIG, Noted, Recsys, job; "
        "sys.exit(job.retrain(CONFIG, Recsys(), print, steps=[Noted('one')]))"
    )
    with exclusive(job.job_folder("shop")):
        done = subprocess.run(waiting().script(script), capture_output=True, text=True, check=False)
    assert done.returncode == exit_status.BUSY, done.stderr
    assert "is being worked on by" in done.stdout
    assert not journals()


@dataclass
class ToDatabase:
    """A step whose command holds a password, and a path with a blank in it."""

    name: str = "lists"

    def prepare(self, run: Run) -> Work | Skip:
        return Work(command=("recommend", "--to", "postgresql://me:hunter2secret@host/shop", "my logs/*.csv"))

    def conclude(self, run: Run, status: int, told: str) -> Result:
        return Result()


def test_commands_are_shown_as_a_shell_takes_them_and_without_passwords(tmp_path: Path) -> None:
    asked: list[Sequence[str]] = []
    lines: list[str] = []
    job.plan(CONFIG, Recsys(), lines.append, steps=[ToDatabase()])
    assert job.retrain(CONFIG, lambda it: asked.append(it) or 0, lines.append, steps=[ToDatabase()]) == 0  # type: ignore[func-returns-value]
    assert asked[0][2] == "postgresql://me:hunter2secret@host/shop"
    kept = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any("hunter2secret" in text for text in [*lines, *kept])
    shown = "recsys recommend --to 'postgresql://me:***@host/shop' 'my logs/*.csv'"
    assert shown in lines[1]
    assert any(f"$ {shown}" in text for text in kept)


def test_a_plan_touches_nothing(at_home: Path) -> None:
    lines: list[str] = []
    job.plan(CONFIG, Recsys(), lines.append, steps=[Noted("one"), Noted("two", skip="no need")])
    assert "recsys one" in lines[1]
    assert lines[2].endswith("two: nothing to do, no need")
    assert not list(at_home.iterdir())


def test_the_page_leads_to_the_comparison_with_the_champion(at_home: Path) -> None:
    decision = at_home / "decisions" / "shop" / "today.html"
    decision.parent.mkdir(parents=True)
    decision.write_text("passed")
    assert run(Recsys(), [Noted("gate", Result(figures={"page": str(decision)}))]) == exit_status.DONE
    folder = job.runs(job.job_folder("shop"))[0]
    found = re.search(r'href="([^"]+)">Comparison with the champion', (folder / "index.html").read_text())
    assert found is not None
    assert (folder / found[1]).resolve() == decision
