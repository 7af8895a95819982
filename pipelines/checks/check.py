"""Check: a dataset against the last one that was accepted, by limits."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from pipelines.checks.distances import popularity_drift, population_stability_index
from pipelines.checks.limits import CHECKS, Limit, Limits
from pipelines.checks.profile import Profile, accepted
from pipelines.checks.report import CheckReport, Finding, Verdict
from pipelines.dataset.directory import DatasetDir

Measured = tuple[float | None, str]
"""A value, and what lies behind it in words."""


def check(
    dataset: DatasetDir | Profile, against: DatasetDir | Profile | None = None, limits: Limits | None = None
) -> CheckReport:
    """Check a dataset.

    Args:
        dataset: what is checked, or its profile.
        against: what it is compared with; None: what was last accepted under its name, where something was.
        limits: the usual ones when None.

    Raises:
        DataError: a dataset has no readable summary, or what was accepted is unreadable.
    """
    if against is None and isinstance(dataset, DatasetDir):
        against = accepted(dataset)
    now, before = (Profile.of(one) if isinstance(one, DatasetDir) else one for one in (dataset, against))
    if now is None:  # for the type checker: a dataset was given
        raise TypeError("Nothing to check.")
    chosen = (limits or Limits()).by_check
    findings = [_finding(name, measure, now, before, chosen[name]) for name, measure in _MEASURES.items()]
    return CheckReport(now.dataset, None if before is None else _named(before), tuple(findings))


def _named(profile: Profile) -> str:
    return profile.dataset + (f" up to {profile.last:%Y-%m-%d}" if profile.last else "")


def _finding(
    name: str,
    measure: Callable[[Profile, Profile | None], Measured],
    now: Profile,
    before: Profile | None,
    limit: Limit,
) -> Finding:
    value, detail = measure(now, before)
    verdict = Verdict.OK
    if value is not None:
        for one, bound in ((Verdict.WARN, limit.warn), (Verdict.STOP, limit.stop)):
            verdict = one if bound is not None and value >= bound else verdict
    return Finding(name, verdict, value, CHECKS[name][0], detail, limit.warn, limit.stop)


def _compared(measure: Callable[[Profile, Profile], Measured]) -> Callable[[Profile, Profile | None], Measured]:
    """A measure that needs something to compare with."""
    return lambda now, before: (None, "nothing to compare with yet") if before is None else measure(now, before)


def _shrunk(now: Profile, before: Profile) -> Measured:
    return max(1 - _ratio(now.interactions, before.interactions), 0.0), _change(before.interactions, now.interactions)


def _volume_fall(now: Profile, before: Profile) -> Measured:
    return max(1 - _ratio(now.recent, before.recent), 0.0), _change(before.recent, now.recent)


def _volume_rise(now: Profile, before: Profile) -> Measured:
    return _ratio(now.recent, before.recent), _change(before.recent, now.recent)


def _new_users(now: Profile, before: Profile) -> Measured:
    return now.user_sample.share_absent(before.user_sample), f"users: {_change(before.users, now.users)}"


def _new_items(now: Profile, before: Profile) -> Measured:
    return now.item_sample.share_absent(before.item_sample), f"items: {_change(before.items, now.items)}"


def _new_item_events(now: Profile, before: Profile) -> Measured:
    return before.item_sample.share_unknown(now.popular), ""


def _lost_users(now: Profile, before: Profile) -> Measured:
    return before.user_sample.share_absent(now.user_sample), ""


def _lost_items(now: Profile, before: Profile) -> Measured:
    return before.item_sample.share_absent(now.item_sample), ""


def _duplicates_rise(now: Profile, before: Profile) -> Measured:
    shares = [one.duplicates / max(one.rows_in - one.quarantined, 1) for one in (before, now)]
    return shares[1] - shares[0], _shares(shares)


def _quarantined(now: Profile, _: Profile | None) -> Measured:
    return now.quarantined / max(now.rows_in, 1), f"{now.quarantined:,} of {now.rows_in:,} rows"


def _quarantined_rise(now: Profile, before: Profile) -> Measured:
    shares = [one.quarantined / max(one.rows_in, 1) for one in (before, now)]
    return shares[1] - shares[0], _shares(shares)


def _history_drift(now: Profile, before: Profile) -> Measured:
    means = [one.interactions / max(one.users, 1) for one in (before, now)]
    drift = population_stability_index(before.lengths, now.lengths)
    return drift, f"mean length {means[0]:.1f} before, {means[1]:.1f} now"


def _popularity_drift(now: Profile, before: Profile) -> Measured:
    tops = [f"{next(iter(one.popular))} ({_top(one):.1%})" if one.popular else "none" for one in (before, now)]
    drift = popularity_drift(before.popular, now.popular, (before.recent, now.recent))
    return drift, f"most popular {tops[0]} before, {tops[1]} now"


def _columns_lost(now: Profile, before: Profile) -> Measured:
    lost = [
        f"{name} ({kind}{f', now {now.schema[name]}' if name in now.schema else ''})"
        for name, kind in before.schema.items()
        if now.schema.get(name) != kind
    ]
    return float(len(lost)), _listed(lost)


def _schema_changes(now: Profile, before: Profile) -> Measured:
    changed = [
        *(f"new column {name}" for name in now.schema if name not in before.schema),
        *(f"column {name} gone" for name in before.schema if name not in now.schema),
        *(f"new event type {name!r}" for name in now.event_types if name not in before.event_types),
        *(f"event type {name!r} gone" for name in before.event_types if name not in now.event_types),
    ]
    return float(len(changed)), _listed(changed)


def _days_back(now: Profile, before: Profile) -> Measured:
    if before.last is None:
        return None, "no times before"
    if now.last is None:
        return float("inf"), "no times any more"
    return max((before.last - now.last).total_seconds() / 86400, 0.0), f"latest {before.last} before, {now.last} now"


def _gaps(now: Profile, _: Profile | None) -> Measured:
    if now.last is None:
        return None, "no times"
    return float(len(now.gaps)), _listed([str(day) for day in now.gaps])


def _future(now: Profile, _: Profile | None) -> Measured:
    return now.future / max(now.interactions, 1), f"{now.future:,} interactions"


def _age(now: Profile, _: Profile | None) -> Measured:
    if now.last is None:
        return None, "no times"
    return (datetime.now(UTC) - now.last).total_seconds() / 86400, f"latest {now.last:%Y-%m-%d %H:%M}"


_MEASURES: dict[str, Callable[[Profile, Profile | None], Measured]] = {
    "shrunk": _compared(_shrunk),
    "volume_fall": _compared(_volume_fall),
    "volume_rise": _compared(_volume_rise),
    "new_users": _compared(_new_users),
    "new_items": _compared(_new_items),
    "new_item_events": _compared(_new_item_events),
    "lost_users": _compared(_lost_users),
    "lost_items": _compared(_lost_items),
    "duplicates_rise": _compared(_duplicates_rise),
    "quarantined": _quarantined,
    "quarantined_rise": _compared(_quarantined_rise),
    "history_drift": _compared(_history_drift),
    "popularity_drift": _compared(_popularity_drift),
    "columns_lost": _compared(_columns_lost),
    "schema_changes": _compared(_schema_changes),
    "days_back": _compared(_days_back),
    "gaps": _gaps,
    "future": _future,
    "age": _age,
}


def _ratio(now: int, before: int) -> float:
    return now / before if before else 1.0 if not now else float("inf")


def _top(profile: Profile) -> float:
    return next(iter(profile.popular.values()), 0) / max(profile.recent, 1)


def _change(before: int, now: int) -> str:
    return f"{before:,} before, {now:,} now"


def _shares(shares: Iterable[float]) -> str:
    return "{:.2%} before, {:.2%} now".format(*shares)


def _listed(found: list[str]) -> str:
    return ", ".join(found[:8]) + (f" and {len(found) - 8} more" if len(found) > 8 else "")
