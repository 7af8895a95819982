"""Report: what the checks found, as a table for people and as JSON for programs."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rich.table import Table

STYLES = {"ok": "green", "warn": "yellow", "stop": "red"}


class Verdict(StrEnum):
    """What becomes of it."""

    OK = "ok"
    WARN = "warn"
    STOP = "stop"


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        check: its name.
        verdict: what becomes of it.
        value: what was measured; None where there is nothing to compare, or nothing to measure.
        about: what it measures.
        detail: what lies behind the value, in words.
        warn: value from which on it warns.
        stop: value from which on it stops.
    """

    check: str
    verdict: Verdict
    value: float | None
    about: str
    detail: str = ""
    warn: float | None = None
    stop: float | None = None


@dataclass(frozen=True)
class CheckReport:
    """What all checks found.

    Attributes:
        dataset: name of what was checked.
        against: name of what it was compared with; None: nothing was accepted before.
        findings: one a check.
    """

    dataset: str
    against: str | None
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst of all."""
        found = {one.verdict for one in self.findings}
        return next((one for one in (Verdict.STOP, Verdict.WARN) if one in found), Verdict.OK)

    @property
    def may_go_on(self) -> bool:
        """Whether nothing stops."""
        return self.verdict is not Verdict.STOP

    def table(self) -> Table:
        """For people."""
        title = f"Dataset {self.dataset}, " + (f"against {self.against}" if self.against else "the first of its name")
        table = Table("check", "", "value", "warns", "stops", "what", title=title, title_justify="left")
        for one in self.findings:
            verdict = f"[{STYLES[one.verdict]}]{one.verdict}[/]"
            numbers = (_number(one.value), _number(one.warn), _number(one.stop))
            table.add_row(one.check, verdict, *numbers, one.detail or one.about)
        return table

    def sentence(self) -> str:
        """The verdict in one line."""
        found = [f"{one.check} {_number(one.value)}" for one in self.findings if one.verdict is self.verdict]
        return f"{self.dataset}: {self.verdict}" + ("" if self.verdict is Verdict.OK else f" ({', '.join(found)})")

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        findings = [vars(one) | {"verdict": one.verdict.value, "value": _plain(one.value)} for one in self.findings]
        found = {"dataset": self.dataset, "against": self.against, "verdict": self.verdict.value}
        return found | {"findings": findings}


def _plain(value: float | None) -> float | str | None:
    """JSON has no number that is infinite."""
    return value if value is None or math.isfinite(value) else str(value)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
