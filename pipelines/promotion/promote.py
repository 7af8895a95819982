"""Promote: the gate at the registry. A challenger becomes champion if the gate lets it, and what it found is kept."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.artifacts.mlflow_registry import CHALLENGER, Promotion, aliases_of, tags_of
from pipelines.dataset.directory import DatasetDir
from pipelines.promotion.champions import ROLLED_BACK, champions, crown, deciding, roll_back, who
from pipelines.promotion.decision import Decision, Force, Outcome, unmeasured
from pipelines.promotion.gate import decide
from pipelines.promotion.limits import Limits
from pipelines.promotion.records import record
from pipelines.promotion.registered_bundles import contender
from recsys_vae.errors import ConfigError, RecsysError, UnknownNameError
from recsys_vae.tracking_store import check_model_name
from recsys_vae.training.tracking import answering, connect

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from pipelines.promotion.contenders import Contender


@dataclass(frozen=True)
class Promoted:
    """What `promote` did, or would do.

    Attributes:
        name: registered model.
        version: that was to become champion.
        champion: version that was champion before; None where there was none.
        bundle: version of the bundle that `version` holds.
        decision: of the gate; None where it was not asked.
        page: that tells of it, with its figures beside it; None where nothing was written.
        went_back: whether a former champion was gone back to.
        doubt: why the new champion may not be what was meant.
    """

    name: str
    version: str
    champion: str | None
    bundle: str
    decision: Decision | None = None
    page: Path | None = None
    went_back: bool = False
    doubt: str | None = None

    @property
    def is_champion(self) -> bool:
        """Whether the version is, or would be, champion now."""
        return self.decision is None or self.decision.promotes


def promote(
    name: str,
    version: str | None = None,
    *,
    on: str | None = None,
    limits: Limits | None = None,
    force: str | None = None,
    dry_run: bool = False,
) -> Promoted:
    """Compare a version, by default the challenger, with the champion, and promote it where the gate lets it.

    A former champion that is named is gone back to without being compared.

    Args:
        on: `DATASET` or `DATASET/SPLIT` that holds what neither has seen; the challenger's dataset when None.
        force: promote it whatever the gate says; for this reason.
        dry_run: decide, and change and write nothing.

    Raises:
        UnknownNameError: no such model, version or dataset, or nothing is challenger.
        BundleError: a bundle is gone, or there is nothing to measure on; not where `force` is given.
        BusyError: another process promotes this model, or has meanwhile.
        UnavailableError: the store does not answer.
    """
    check_model_name(name)
    if force is not None and not force.strip():
        raise ConfigError("--force takes a reason, which is kept with the promotion: --force 'why it goes live'.")
    if dry_run:
        return _promote(name, version, on, limits or Limits(), force, dry_run=True)
    with deciding(name):
        return _promote(name, version, on, limits or Limits(), force, dry_run=False)


def _promote(
    name: str, version: str | None, on: str | None, limits: Limits, force: str | None, *, dry_run: bool
) -> Promoted:
    client = connect()
    with answering():
        aliases = aliases_of(client, name)
        if version is None and CHALLENGER not in aliases:
            raise UnknownNameError(f"alias of model {name}", CHALLENGER, aliases)
        chosen = version or aliases[CHALLENGER]
        tags = tags_of(client, name, chosen)
    line, bundle = champions(client, name), tags.get("bundle", "unknown")
    champion = line[-1] if line else None
    told = Promoted(name, chosen, champion, bundle)
    if chosen == champion:
        return told
    if version is not None and chosen in line:
        roll_back(name, chosen, reason="recsys promote --version", dry_run=dry_run)
        return replace(told, went_back=True)
    decision = _decide(client, told, tags.get(ROLLED_BACK), on, limits, force)
    if dry_run:
        return replace(told, decision=decision)
    page = record(client, decision, name=name, version=chosen, champion=champion)
    if decision.promotes:
        done: Promotion = crown(client, name, chosen, instead_of=champion)
        told = replace(told, doubt=done.warning)
    return replace(told, decision=decision, page=page)


def decide_on(client: "MlflowClient", name: str, version: str, on: str | None, limits: Limits) -> Promoted:
    """What the gate says of a version; nothing is changed or written."""
    with answering():
        tags = tags_of(client, name, version)
    line = champions(client, name)
    told = Promoted(name, version, line[-1] if line else None, tags.get("bundle", "unknown"))
    return replace(told, decision=_decide(client, told, tags.get(ROLLED_BACK), on, limits, None))


def _decide(
    client: "MlflowClient", told: Promoted, rolled_back: str | None, on: str | None, limits: Limits, force: str | None
) -> Decision:
    challenger = contender(client, told.name, told.version)
    try:
        decision = _measured(client, challenger, told, rolled_back, on, limits)
    except RecsysError as error:
        if force is None:
            raise
        reason = f"Nothing was measured: {error}"
        decision = unmeasured(told.bundle, _champion_bundle(client, told), reason, limits, outcome=Outcome.REFUSE)
    if force is None or decision.outcome is Outcome.PROMOTE:
        return decision
    return replace(decision, forced=Force(who(), force.strip()))


def _measured(
    client: "MlflowClient",
    challenger: "Contender",
    told: Promoted,
    rolled_back: str | None,
    on: str | None,
    limits: Limits,
) -> Decision:
    if rolled_back:
        reason = f"Version {told.version} was champion and was rolled back, {rolled_back}."
        return unmeasured(told.bundle, _champion_bundle(client, told), reason, limits, outcome=Outcome.REFUSE)
    champion = None if told.champion is None else contender(client, told.name, told.champion)
    dataset, split = _place(on, challenger)
    return decide(champion, challenger, dataset, limits, split)


def _champion_bundle(client: "MlflowClient", told: Promoted) -> str | None:
    if told.champion is None:
        return None
    with answering():
        return tags_of(client, told.name, told.champion).get("bundle", "unknown")


def _place(on: str | None, challenger: "Contender") -> tuple[DatasetDir, str | None]:
    """The dataset and split that are named; by default the challenger's dataset."""
    if on is None:
        own = challenger.bundle.manifest.provenance.dataset
        if own and DatasetDir.at(own).interactions_path.is_file():
            return DatasetDir.open(own), None
        raise ConfigError(
            f"There is nothing to measure on: {challenger.bundle.version} has learned from dataset {own!r}, which is "
            "not here. Name one with events that it has not seen, --on DATASET, or a split, --on DATASET/SPLIT."
        )
    place, _, split = on.rpartition("/")
    if place and not DatasetDir.at(on).interactions_path.is_file():
        return DatasetDir.open(place), split
    return DatasetDir.open(on), None
