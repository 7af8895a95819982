"""Decisions of the promotion gate, and what the weekly job's runs found, as their files under RECSYS_HOME tell of them.

    decisions/MODEL/TIME-version-N.json     a decision: versions, reasons, figures by slice, guard rails
    retraining/JOB/runs/RUN/run.json        a run: of each step its figures; those of `check` are the drift of the data

The files are the contract with the pipelines; what is missing in one is left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from recsys_vae.home import home
from recsys_vae.tracking_store import tracking_uri
from service.ui.plain_files import content_of, figure, is_at_home, mapping, minute, sequence, text
from service.ui.retraining_runs import JOURNAL, run_folders

MOST: Final = 100
"""Decisions, or runs, that are shown: the latest."""
ALL: Final = "all users"
MOST_SLICES: Final = 200
LONGEST_REASON: Final = 600
WORDS: Final = {"promoted": "good", "passed": "good", "refused": "bad", "forced": "warn"}
VERDICTS: Final = {"better": "good", "not worse": "good", "worse": "bad", "undecided": "warn"}


@dataclass(frozen=True)
class SliceFigure:
    """A metric of challenger and champion on a slice; `low` and `high` bound the difference."""

    name: str
    metric: str
    users: float | None
    champion: float | None
    challenger: float | None
    low: float | None
    high: float | None
    verdict: str

    @property
    def style(self) -> str:
        """Of the badge."""
        return VERDICTS.get(self.verdict, "")


@dataclass(frozen=True)
class Rail:
    """A guard rail; `holds` is None where it was not judged."""

    name: str
    challenger: float | None
    champion: float | None
    limit: str
    holds: bool | None
    note: str


@dataclass(frozen=True)
class Decision:
    """A decision of the gate.

    Attributes:
        key: of its file.
        version: that was to become champion.
        champion: that was champion; empty for none.
        bundle: of the challenger.
        word: promoted, passed, refused or forced.
        at: when, UTC.
        asked: who was asked, in words.
        reasons: for it, and warnings.
        slices: figures; those of all users first.
        rails: guard rails.
    """

    key: str
    version: str
    champion: str
    bundle: str
    word: str
    at: str
    asked: str
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    slices: tuple[SliceFigure, ...]
    rails: tuple[Rail, ...]

    @property
    def style(self) -> str:
        """Of the badge."""
        return WORDS.get(self.word, "")

    @property
    def overall(self) -> tuple[SliceFigure, ...]:
        """Figures over all users."""
        return tuple(one for one in self.slices if one.name == ALL)


@dataclass(frozen=True)
class Run:
    """A run of the weekly job: its figures of quality, and what its check of the data found odd."""

    name: str
    at: str
    status: str
    metrics: Mapping[str, float]
    against: str
    drift: tuple[tuple[str, str, float | None], ...]


def models() -> list[str]:
    """Registered models with decisions, and jobs with runs, by name."""
    folders = [*(home() / "decisions").glob("*"), *(home() / "retraining").glob("*")]
    return sorted({folder.name for folder in folders if is_at_home(folder)})


def decisions_of(model: str) -> list[Decision]:
    """The latest decisions on a model's versions, oldest first."""
    paths = sorted((home() / "decisions" / model).glob("*.json"))[-MOST:]
    return [_decision(path.stem, told) for path in paths if (told := content_of(path)).get("decision")]


def runs_of(job: str) -> list[Run]:
    """The latest runs of a job, oldest first."""
    folders = reversed(run_folders(job)[:MOST])
    return [_run(folder, told) for folder in folders if (told := content_of(folder / JOURNAL))]


def registry_address(model: str, version: str) -> str:
    """Where MLflow shows a version; empty where its store is no server with pages."""
    address = urlsplit(tracking_uri())
    if address.scheme not in ("http", "https") or not address.hostname or not version.isascii():
        return ""
    host = address.netloc.rpartition("@")[2]  # without a name and password
    return f"{address.scheme}://{host}{address.path.rstrip('/')}/#/models/{quote(model)}/versions/{quote(version)}"


def _decision(key: str, told: Mapping[str, Any]) -> Decision:
    asked = mapping(told.get("asked"))
    who = f"{text(asked.get('dataset'))}: {text(asked.get('place'))}" if asked else ""
    return Decision(
        key=key,
        version=text(told.get("version")),
        champion=text(told.get("champion_version")),
        bundle=text(mapping(told.get("challenger")).get("bundle")),
        word=text(told.get("decision")),
        at=minute(told.get("decided_at")),
        asked=who,
        reasons=_texts(told.get("reasons")),
        warnings=_texts(told.get("warnings")),
        slices=tuple(map(_slice, sequence(told.get("slices"))[:MOST_SLICES])),
        rails=tuple(map(_rail, sequence(told.get("rails"))[:MOST_SLICES])),
    )


def _slice(value: Any) -> SliceFigure:
    told = mapping(value)
    users, champion, challenger, low, high = (
        figure(told.get(name)) for name in ("n_users", "champion", "challenger", "low", "high")
    )
    name, metric, verdict = (text(told.get(name)) for name in ("name", "metric", "verdict"))
    return SliceFigure(name, metric, users, champion, challenger, low, high, verdict)


def _rail(value: Any) -> Rail:
    told = mapping(value)
    holds = told.get("holds")
    name, limit, note = (text(told.get(name)) for name in ("name", "limit", "note"))
    ours, theirs = figure(told.get("challenger")), figure(told.get("champion"))
    return Rail(name, ours, theirs, limit, holds if isinstance(holds, bool) else None, note)


def _run(folder: Path, told: Mapping[str, Any]) -> Run:
    steps = mapping(told.get("steps"))
    evaluated, checked = (mapping(mapping(steps.get(name)).get("figures")) for name in ("evaluate", "check"))
    metrics = {name: value for name, found in evaluated.items() if "@" in name and (value := figure(found)) is not None}
    odd = [(*name.partition(": ")[::2], figure(value)) for name, value in checked.items() if ": " in name]
    against = text(checked.get("against"))
    return Run(folder.name, minute(told.get("started_at")), text(told.get("status")), metrics, against, tuple(odd))


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(text(one, LONGEST_REASON) for one in sequence(value)[:50])
