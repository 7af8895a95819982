"""Decision: what the gate found, what follows from it, and why."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pipelines.promotion.comparison import SliceResult, Verdict
from pipelines.promotion.contenders import Contender
from pipelines.promotion.guard_rails import RailResult
from pipelines.promotion.hold_out import HoldOut
from pipelines.promotion.limits import Limits
from recsys_vae.bundles.bundle import Bundle

PASSED = "passed"
"""What became of a challenger that was compared, and not promoted itself."""


class Outcome(StrEnum):
    """What is to be done with the challenger."""

    PROMOTE = "promote"
    REFUSE = "refuse"


@dataclass(frozen=True)
class Side:
    """One of the two models.

    Attributes:
        bundle: version of the bundle that is or would be served.
        asked: version of the one that was measured for it: itself or its twin.
        trained_on: of the one that was measured.
        data_end: likewise, in ISO 8601; None where it is not known.
        unknown_targets: what it could not find, as it does not know the items; counted as missed.
    """

    bundle: str
    asked: str = ""
    trained_on: str = ""
    data_end: str | None = None
    unknown_targets: int = 0

    @classmethod
    def of(cls, contender: Contender, asked: Bundle, unknown_targets: int) -> "Side":
        """What is told of a model that was measured."""
        origin = asked.manifest.provenance
        return cls(contender.bundle.version, asked.version, origin.trained_on, origin.training_cutoff, unknown_targets)


@dataclass(frozen=True)
class Asked:
    """The hold-out, in words and figures."""

    dataset: str
    place: str
    n_users: int
    n_of: int
    n_targets: int

    @classmethod
    def of(cls, hold_out: HoldOut) -> "Asked":
        """What is told of a hold-out."""
        return cls(
            hold_out.dataset.name, hold_out.place, hold_out.n_users, hold_out.n_of, int(hold_out.asked.targets.nnz)
        )


@dataclass(frozen=True)
class Force:
    """Somebody's decision against the gate's."""

    by: str
    reason: str


@dataclass(frozen=True)
class Decision:
    """What the gate decides, and on what grounds.

    Attributes:
        outcome: of the gate.
        reasons: for it.
        warnings: what speaks against it without being decisive.
        challenger: the model that would become champion.
        champion: the one that is; None where there is none, and popularity takes its place.
        asked: whom the two were compared on; None where nothing was measured.
        slices: figures of all users and of every guarded slice.
        rails: guard rails.
        limits: that were held.
        decided_at: ISO 8601, UTC.
        forced: who promoted it all the same, and why.
        is_comparison: whether nobody is promoted by it, whatever it says.
    """

    outcome: Outcome
    reasons: tuple[str, ...]
    challenger: Side
    champion: Side | None
    limits: Limits
    warnings: tuple[str, ...] = ()
    asked: Asked | None = None
    slices: tuple[SliceResult, ...] = ()
    rails: tuple[RailResult, ...] = ()
    decided_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    forced: Force | None = None
    is_comparison: bool = False

    @property
    def promotes(self) -> bool:
        """Whether the challenger becomes champion."""
        return self.outcome is Outcome.PROMOTE or self.forced is not None

    @property
    def word(self) -> str:
        """What became of it: `promoted`, `passed` where it was compared only, `refused` or `forced`."""
        if self.outcome is Outcome.PROMOTE:
            return PASSED if self.is_comparison else "promoted"
        return "refused" if self.forced is None else "forced"

    @property
    def why(self) -> str:
        """The reasons as one text."""
        return " ".join(self.reasons)

    def as_json(self) -> dict[str, Any]:
        """Plain values; what is not a number is null."""
        told = _finite(asdict(self) | {"limits": self.limits.model_dump(mode="json")})
        assert isinstance(told, dict)
        return {"decision": self.word, **told}


def unmeasured(challenger: str, champion: str | None, reason: str, limits: Limits, *, outcome: Outcome) -> Decision:
    """A decision for which nothing had to be, or could be, measured."""
    return Decision(outcome, (reason,), Side(challenger), None if champion is None else Side(champion), limits)


def against_champion(
    results: Sequence[SliceResult], rails: Sequence[RailResult], limits: Limits
) -> tuple[Outcome, tuple[str, ...], tuple[str, ...]]:
    """Outcome, reasons and warnings of a challenger beside a champion."""
    against, doubts = _of_rails(rails)
    for result in results:
        reason, may_warn = _complaint(result, limits)
        if reason:
            (doubts if may_warn else against).append(reason)
    if against:
        return Outcome.REFUSE, tuple(against), tuple(doubts)
    overall = [result for result in results if result.is_overall]
    found = {result.verdict for result in overall}
    word = "better" if found == {Verdict.BETTER} else "not worse"
    if not found <= {Verdict.BETTER, Verdict.NOT_WORSE}:
        word = "not shown to be worse"
    return Outcome.PROMOTE, (f"It is {word} than the champion: {_told(overall[0])}.",), tuple(doubts)


def against_popularity(
    results: Sequence[SliceResult], rails: Sequence[RailResult], n_known: int
) -> tuple[Outcome, tuple[str, ...], tuple[str, ...]]:
    """The same of a first promotion: the guard rails, and whether it is better than what is popular.

    Args:
        n_known: users who have a history; to others it may say nothing else than what is popular.
    """
    against, doubts = _of_rails(rails)
    for result in (one for one in results if one.is_overall):
        told = f"{_told(result)}, with popularity in the champion's place"
        if result.verdict is Verdict.TOO_FEW or not n_known:
            nobody = "" if n_known else ", of whom nobody has a history"
            doubts.append(f"Whether it is better than popularity is not known: {told}{nobody}.")
        elif result.difference <= 0 or (result.high is not None and result.high <= 0):
            against.append(f"It is not better than popularity: {told}.")
        elif result.verdict is not Verdict.BETTER:
            doubts.append(f"That it is better than popularity may be chance: {told}.")
    if against:
        return Outcome.REFUSE, tuple(against), tuple(doubts)
    return Outcome.PROMOTE, ("There is no champion yet, and nothing speaks against it.",), tuple(doubts)


def _complaint(result: SliceResult, limits: Limits) -> tuple[str, bool]:
    """What one figure says against a promotion, empty where nothing, and whether that is no more than a warning."""
    setting = limits.undecided if result.is_overall else limits.undecided_slices
    match result.verdict:
        case Verdict.WORSE:
            return f"It is worse on {_told(result)}.", False
        case Verdict.UNDECIDED:
            more = (
                " A longer window has more users; `tolerance` and `undecided` in the limits say what is let through."
                if result.is_overall
                else ""
            )
            return f"Undecided on {_told(result)}.{more}", setting == "warn"
        case Verdict.TOO_FEW if result.is_overall:
            told = f"Only {result.n_users:,} users could be asked, and a decision takes {limits.min_users:,}."
            return f"{told} Give a longer window: --on DATASET or DATASET/SPLIT.", setting == "warn"
        case Verdict.NOT_WORSE if result.is_overall and limits.require == "better":
            return f"It is not better beyond chance, as the limits require: {_told(result)}.", False
    return "", False


def _of_rails(rails: Sequence[RailResult]) -> tuple[list[str], list[str]]:
    broken = [
        f"Guard rail: {rail.name} is {rail.challenger:.3g}"
        + ("" if rail.champion is None else f" (champion {rail.champion:.3g})")
        + f", {rail.limit} is allowed."
        for rail in rails
        if rail.holds is False
    ]
    skipped = sorted({f"Guard rail not judged: {rail.name}, {rail.note}." for rail in rails if rail.holds is None})
    return broken, skipped


def _told(result: SliceResult) -> str:
    what = f"{result.name}, {result.metric}" if result.is_overall else f"{result.name!r}, {result.metric}"
    figures = f"{what} {result.challenger:.4f} against {result.champion:.4f}"
    if result.low is None or result.high is None:
        return f"{figures} of {result.n_users:,} users"
    return f"{figures}, difference {result.low:+.4f} to {result.high:+.4f}, tolerated {-result.margin:+.4f}"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
