"""Promotion of a bundle that cannot be measured, as it has seen everything, by what the gate found of one made alike.

The weekly job compares a challenger that has not seen the newest events (`judge`), makes the same model of all events,
and promotes that (`promote_as`).
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from pipelines.artifacts.mlflow_registry import tags_of
from pipelines.promotion.champions import champions, crown, deciding
from pipelines.promotion.contenders import twin_of
from pipelines.promotion.decision import PASSED
from pipelines.promotion.limits import Limits
from pipelines.promotion.promote import Promoted, decide_on
from pipelines.promotion.records import record
from pipelines.promotion.registered_bundles import registered_bundle
from recsys_vae.bundles.lineage import Lineage
from recsys_vae.bundles.manifest import Manifest, read_manifest
from recsys_vae.errors import ConfigError
from recsys_vae.training.tracking import answering, connect

if TYPE_CHECKING:
    from mlflow import MlflowClient

GATE, AGAINST, REASON = "gate", "gate_against", "gate_reason"


def judge(name: str, version: str, *, on: str | None = None, limits: Limits | None = None) -> Promoted:
    """Compare a version with the champion and keep what was found; nobody is promoted.

    Raises: as `promote`.
    """
    with deciding(name):
        client = connect()
        told = decide_on(client, name, version, on, _of_any_age(limits or Limits()))
        assert told.decision is not None
        decision = replace(told.decision, is_comparison=True)
        page = record(client, decision, name=name, version=version, champion=told.champion)
    return replace(told, decision=decision, page=page)


def promote_as(name: str, version: str, judged: str) -> Promoted:
    """Promote a version by what `judge` found of another one that was made alike.

    Raises:
        ConfigError: that one has not passed, or this one was not made like it.
        BusyError: there is another champion by now than the one that it was compared with.
        BundleError: a bundle is gone.
    """
    with deciding(name):
        client = connect()
        with answering():
            theirs, ours = tags_of(client, name, judged), tags_of(client, name, version)
        line = champions(client, name)
        told = Promoted(name, version, line[-1] if line else None, ours.get("bundle", "unknown"))
        if told.champion == version:
            return told
        if theirs.get(GATE) != PASSED:
            raise ConfigError(
                f"Version {judged} of {name} has not passed the gate ({theirs.get(GATE, 'it was not asked')}), so "
                f"nothing is known of version {version}. Compare it: recsys promote {name} --version {judged}."
            )
        if not _made_alike(_manifest(client, name, version), _manifest(client, name, judged)):
            raise ConfigError(
                f"Version {version} of {name} was neither published from version {judged} nor updated from the same "
                "bundle: what was found of one says nothing of the other."
            )
        against = theirs.get(AGAINST, "").removeprefix("version ")
        with answering():
            client.set_model_version_tag(name, version, GATE, f"promoted as version {judged} passed")
            client.set_model_version_tag(name, version, REASON, theirs.get(REASON, ""))
        done = crown(client, name, version, instead_of=None if against == "popularity" else against)
    return replace(told, doubt=done.warning)


def _of_any_age(limits: Limits) -> Limits:
    """Limits without the one on how far the data lie back: what is promoted for a bundle that passes has them all."""
    rails = limits.guard_rails.model_copy(update={"max_days_behind": None})
    return limits.model_copy(update={"guard_rails": rails})


def _manifest(client: "MlflowClient", name: str, version: str) -> Manifest:
    with registered_bundle(client, name, version) as bundle:
        return read_manifest(bundle)


def _made_alike(whole: Manifest, judged: Manifest) -> bool:
    if twin_of(whole) == judged.version:
        return True
    parents = [lineage.parent for lineage in map(Lineage.of, (whole, judged)) if lineage is not None]
    return len(parents) == 2 and parents[0] == parents[1]
