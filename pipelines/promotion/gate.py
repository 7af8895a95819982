"""Gate: challenger and champion on the same fresh hold-out, as they are served."""

from pathlib import Path

from pipelines.dataset.directory import DatasetDir
from pipelines.promotion.comparison import compare
from pipelines.promotion.contenders import Contender
from pipelines.promotion.decision import (
    Asked,
    Decision,
    Outcome,
    Side,
    against_champion,
    against_popularity,
    unmeasured,
)
from pipelines.promotion.guard_rails import check_bundles, check_lists, measure
from pipelines.promotion.hold_out import HoldOut, find_hold_out
from pipelines.promotion.limits import Limits
from pipelines.promotion.served_lists import Asker
from pipelines.promotion.slices import slices_of
from recsys_vae.bundles.tier_policy import POPULAR


def gate(
    champion_bundle: Path | None,
    challenger_bundle: Path,
    dataset: DatasetDir,
    limits: Limits | None = None,
    *,
    split: str | None = None,
    champion_twin: Path | None = None,
    challenger_twin: Path | None = None,
) -> Decision:
    """Decide whether a challenger may take the champion's place.

    Args:
        champion_bundle: what is served; None for a first promotion, where popularity takes its place.
        challenger_bundle: what would be served.
        dataset: the log, with events that neither has seen.
        limits: the defaults when None.
        split: of the dataset, whose test part is asked; by default what `find_hold_out` finds.
        champion_twin: the bundle that the champion was published from, where it is at hand.
        challenger_twin: likewise; without it a challenger that has learned from all events cannot be measured.

    Raises:
        BundleError: there is no hold-out that both may be asked about, or a bundle is damaged.
    """
    champion = None if champion_bundle is None else Contender.open(champion_bundle, champion_twin)
    return decide(champion, Contender.open(challenger_bundle, challenger_twin), dataset, limits or Limits(), split)


def decide(
    champion: Contender | None, challenger: Contender, dataset: DatasetDir, limits: Limits, split: str | None = None
) -> Decision:
    """The same of bundles that are loaded."""
    version = challenger.bundle.version
    if champion is not None and champion.bundle.version == version:
        reason = f"It is the champion's bundle itself, {version}."
        return unmeasured(version, version, reason, limits, outcome=Outcome.PROMOTE)
    hold_out = find_hold_out(
        champion, challenger, dataset, split, min_users=limits.min_users, max_users=limits.max_users
    )
    measured = _against_champion if champion else _against_popularity
    return measured(champion, challenger, hold_out, limits)


def _against_champion(champion: Contender | None, challenger: Contender, hold_out: HoldOut, limits: Limits) -> Decision:
    assert champion is not None
    assert hold_out.champion is not None
    askers = [Asker(form, hold_out) for form in (hold_out.champion, hold_out.challenger)]
    lists = [asker.lists(limits.depth) for asker in askers]
    results = compare(slices_of(hold_out, limits), lists[0], lists[1], limits)
    theirs, ours = measure(askers, lists, hold_out, limits.depth)
    rails = [*check_lists(ours, theirs, hold_out, limits), *check_bundles(challenger, champion, limits)]
    outcome, reasons, warnings = against_champion(results, rails, limits)
    return Decision(
        outcome=outcome,
        reasons=reasons,
        warnings=warnings,
        challenger=Side.of(challenger, hold_out.challenger, lists[1].n_unknown),
        champion=Side.of(champion, hold_out.champion, lists[0].n_unknown),
        limits=limits,
        asked=Asked.of(hold_out),
        slices=tuple(results),
        rails=tuple(rails),
    )


def _against_popularity(_: Contender | None, challenger: Contender, hold_out: HoldOut, limits: Limits) -> Decision:
    asker = Asker(hold_out.challenger, hold_out)
    ours, popular = asker.lists(limits.depth), asker.lists(limits.depth, tier=POPULAR)
    slices = slices_of(hold_out, limits)
    results = compare(slices, popular, ours, limits.model_copy(update={"tolerance": 0.0, "slice_tolerance": 0.0}))
    measured = measure([asker], [ours], hold_out, limits.depth)[0]
    rails = [*check_lists(measured, None, hold_out, limits), *check_bundles(challenger, None, limits)]
    outcome, reasons, warnings = against_popularity(results, rails, hold_out.n_known)
    return Decision(
        outcome=outcome,
        reasons=reasons,
        warnings=warnings,
        challenger=Side.of(challenger, hold_out.challenger, ours.n_unknown),
        champion=None,
        limits=limits,
        asked=Asked.of(hold_out),
        slices=tuple(results),
        rails=tuple(rails),
    )
