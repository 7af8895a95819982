"""Guard rails: what the quality of lists does not show: reach, sameness, fallbacks, latency, size, age."""

from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.promotion.contenders import Contender
from pipelines.promotion.hold_out import HoldOut
from pipelines.promotion.limits import GuardRails, Limits
from pipelines.promotion.served_lists import Asker, ServedLists, latencies
from recsys_vae.evaluation import entries

MEGABYTE = 1e6


@dataclass(frozen=True)
class RailResult:
    """One guard rail.

    Attributes:
        name: what was looked at, with its unit.
        challenger: its value; None where it is not known.
        champion: likewise.
        limit: what was asked for, in words.
        holds: None where it was not judged.
        note: why it was not.
    """

    name: str
    challenger: float | None
    champion: float | None
    limit: str
    holds: bool | None
    note: str = ""


@dataclass(frozen=True)
class Measured:
    """What guard rails look at, of one model."""

    coverage: float
    top_item: float
    by_popularity: float
    latency_ms: float


def measure(askers: list[Asker], lists: list[ServedLists], hold_out: HoldOut, depth: int) -> list[Measured]:
    """Of each model that is asked."""
    known = entries.row_lengths(hold_out.asked.histories) > 0
    times = latencies(askers, hold_out.n_users, depth)
    return [
        Measured(one.coverage, one.top_item(known), one.by_popularity(known), milliseconds)
        for one, milliseconds in zip(lists, times, strict=True)
    ]


def check_lists(ours: Measured, theirs: Measured | None, hold_out: HoldOut, limits: Limits) -> list[RailResult]:
    """Guard rails of what was answered; those of lists are not judged where too few users were asked."""
    rails, enough = limits.guard_rails, limits.min_users
    few = "" if hold_out.n_users >= enough else f"{hold_out.n_users:,} users"
    few_known = "" if hold_out.n_known >= enough else f"{hold_out.n_known:,} users with a history"
    other = (None, None, None) if theirs is None else (theirs.coverage, theirs.top_item, theirs.by_popularity)
    top, popular = "share of the top item", "share answered by popularity"
    return [
        *_coverage(ours.coverage, other[0], rails, few),
        *_share(top, ours.top_item, other[1], rails.max_top_item, rails.max_top_item_rise, few_known),
        *_share(
            popular, ours.by_popularity, other[2], rails.max_by_popularity, rails.max_by_popularity_rise, few_known
        ),
        *_latency(ours.latency_ms, None if theirs is None else theirs.latency_ms, rails),
    ]


def check_bundles(challenger: Contender, champion: Contender | None, limits: Limits) -> list[RailResult]:
    """Guard rails of the bundles themselves: size, and how old the data are."""
    rails, size = limits.guard_rails, challenger.n_bytes / MEGABYTE
    other = None if champion is None else champion.n_bytes / MEGABYTE
    results = []
    if rails.max_size_mb is not None:
        text = f"at most {rails.max_size_mb:g}"
        results.append(_rail("size in MB", size, other, text, size <= rails.max_size_mb))
    if other is not None and rails.max_size_of_champion is not None:
        most = max(rails.size_floor_mb, rails.max_size_of_champion * other)
        text = f"at most {rails.max_size_of_champion:g} times the champion's, from {rails.size_floor_mb:g} MB on"
        results.append(_rail("size in MB", size, other, text, size <= most))
    if champion is not None and rails.max_days_behind is not None:
        results.append(_age(challenger, champion, rails.max_days_behind))
    return results


def _coverage(mine: float, other: float | None, rails: GuardRails, too_few: str) -> Iterator[RailResult]:
    if (least := rails.min_coverage) is not None:
        yield _rail("coverage", mine, other, f"at least {least:g}", mine >= least, too_few)
    if other is not None and (share := rails.min_coverage_of_champion) is not None:
        text = f"at least {share:g} of the champion's"
        yield _rail("coverage", mine, other, text, mine >= share * other, too_few)


def _share(
    name: str, mine: float, other: float | None, most: float | None, rise: float | None, too_few: str
) -> Iterator[RailResult]:
    if most is not None:
        yield _rail(name, mine, other, f"at most {most:g}", mine <= most, too_few)
    if other is not None and rise is not None:
        yield _rail(name, mine, other, f"at most {rise:g} above the champion's", mine <= other + rise, too_few)


def _latency(mine: float, other: float | None, rails: GuardRails) -> Iterator[RailResult]:
    name = "latency in ms"
    if (most := rails.max_latency_ms) is not None:
        yield _rail(name, mine, other, f"at most {most:g}", mine <= most)
    if other is not None and (times := rails.max_latency_of_champion) is not None:
        text = f"at most {times:g} times the champion's, from {rails.latency_floor_ms:g} ms on"
        yield _rail(name, mine, other, text, mine <= max(rails.latency_floor_ms, times * other))


def _age(challenger: Contender, champion: Contender, most: float) -> RailResult:
    name, text = "days that its data end before the champion's", f"at most {most:g}"
    if challenger.data_end is None or champion.data_end is None:
        return RailResult(name, None, None, text, None, "a data end is unknown")
    days = (champion.data_end - challenger.data_end).total_seconds() / 86_400
    return _rail(name, days, 0.0, text, days <= most)


def _rail(name: str, mine: float, other: float | None, limit: str, holds: bool, too_few: str = "") -> RailResult:
    return RailResult(name, mine, other, limit, None if too_few else holds, too_few and f"only {too_few}")
