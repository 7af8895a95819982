"""The rule: whether the champion is updated with what came in, or a model is trained from nothing."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from shutil import copytree
from typing import Any

from pipelines.promotion.champions import champions
from pipelines.promotion.registered_bundles import registered_bundle
from pipelines.retraining.collect import journals
from pipelines.retraining.config import RetrainConfig
from pipelines.retraining.data_steps import SPLIT
from pipelines.retraining.erasure_steps import dataset_before, erased_users
from pipelines.retraining.journal import Status, fingerprint
from pipelines.retraining.run import Run
from pipelines.updating.update import Course, course_of
from recsys_vae.bundles.bundle import REPEAT
from recsys_vae.bundles.lineage import Lineage
from recsys_vae.bundles.manifest import Manifest, read_manifest
from recsys_vae.bundles.second_stage import RANKER
from recsys_vae.errors import BundleError, DataError, ModelError, UnknownNameError
from recsys_vae.training.tracking import connect

FULL, UPDATE = "full training", "update"


@dataclass(frozen=True)
class Due:
    """What is due.

    Attributes:
        what: `FULL` or `UPDATE`.
        why: in words.
        champion: the bundle to update; None for a full training.
        before: the champion's bundle, whatever is due; None where there is none.
    """

    what: str
    why: str
    champion: Path | None = None
    before: Path | None = None


def decide(run: Run) -> Due:
    """What is due, by the limits under [full]; what was decided in this run before stays so."""
    if "due" in run.facts:
        due = run.facts["due"]
        champion, before = (Path(due[name]) if due.get(name) else None for name in ("champion", "before"))
        return Due(due["what"], due["why"], champion, before)
    champion = champion_bundle(run)
    if not run.config.full.after_updates:
        return Due(FULL, "every training is a full one (after_updates = 0)", before=champion)
    if champion is None:
        return Due(FULL, "there is no champion yet")
    manifest = read_manifest(champion)
    reason = _reason(run, manifest, last_full(run)) or _missing(run.config, champion) or _obstacle(run, champion)
    if reason:
        return Due(FULL, reason, before=champion)
    lineage = Lineage.of(manifest)
    done = lineage.updates_since_full if lineage else 0
    why = f"{done} of {run.config.full.after_updates} updates since the last full training"
    return Due(UPDATE, why, champion, champion)


def settings_mark(run: Run) -> str:
    """What the settings of the training are known by."""
    ranker = run.config.ranker
    return fingerprint({"train": run.config.train, "ranker": ranker} if isinstance(ranker, dict) else run.config.train)


def wants_repeats(config: RetrainConfig, champion: Path | None) -> bool:
    """Whether what is made is to have a repeat-purchase head: as the settings say, else as the champion."""
    return _has(champion, REPEAT) if config.repeats is None else config.repeats


def wants_ranker(config: RetrainConfig, champion: Path | None) -> bool:
    """Whether what is made is to have a second stage, likewise."""
    return _has(champion, RANKER) if config.ranker is None else config.ranker is not False


def drop_options(config: RetrainConfig, champion: Path) -> tuple[str, ...]:
    """Options of an update that leave behind what the settings do not want."""
    unwanted = {
        "--drop-repeats": _has(champion, REPEAT) and not wants_repeats(config, champion),
        "--drop-ranker": _has(champion, RANKER) and not wants_ranker(config, champion),
    }
    return tuple(option for option, is_it in unwanted.items() if is_it)


def _has(champion: Path | None, part: str) -> bool:
    return champion is not None and part in read_manifest(champion).files


def _missing(config: RetrainConfig, champion: Path) -> str:
    """What the settings ask for and an update of the champion would not have; empty where nothing is."""
    if wants_repeats(config, champion) and not _has(champion, REPEAT):
        return "the champion has no repeat-purchase head, the settings ask for one"
    if wants_ranker(config, champion) and not _has(champion, RANKER):
        return "the champion has no second stage, the settings ask for one"
    return ""


def last_full(run: Run) -> dict[str, Any] | None:
    """Facts of the last run that trained from nothing and came to its end, and when it began; None before the first."""
    for journal in reversed(journals(run.root)):
        trained = journal.facts.get("due", {}).get("what") == FULL and "promoted" in journal.facts
        if trained and journal.status is Status.DONE:
            return journal.facts | {"started_at": journal.started_at}
    return None


def champion_bundle(run: Run) -> Path | None:
    """The champion's bundle on this machine; None where there is no champion.

    Raises:
        UnavailableError: the registry does not answer.
    """
    client = connect()
    try:
        line = champions(client, run.config.name)
    except UnknownNameError:
        return None
    if not line:
        return None
    with registered_bundle(client, run.config.name, line[-1]) as bundle:
        if "recsys-bundle-" not in str(bundle):
            return bundle
        kept = run.folder / "champion"  # what was downloaded is gone when the context ends
        return kept if kept.exists() else Path(copytree(bundle, kept))


def share_of_new_items(course: Course) -> float:
    """Share of the items, with those that came in, that the bundle does not know."""
    rows = course.change.item_rows
    return float((rows < 0).mean()) if len(rows) else 0.0


def _obstacle(run: Run, champion: Path) -> str:
    """Why a champion cannot or may not be updated by what has come; empty where nothing is in the way."""
    try:
        course = course_of(
            champion,
            run.dataset,
            before=dataset_before(run),
            split=SPLIT,
            erased=erased_users(run),
            drop_ranker="--drop-ranker" in drop_options(run.config, champion),
        )
        course.plan()
    except (BundleError, ModelError, DataError) as error:
        return f"the champion cannot be updated: {error}"
    new, most = share_of_new_items(course), run.config.full.new_items
    return f"{new:.1%} of the items are new to the champion, more than {most:.1%}" if new > most else ""


def _reason(run: Run, manifest: Manifest, last: dict[str, Any] | None) -> str:
    """Why a full training is due by what is known without looking at the data; empty where nothing is."""
    limits, wanted = run.config.full, run.config.train.get("model")
    lineage = Lineage.of(manifest)
    if wanted is not None and manifest.model != wanted:
        return f"the champion is a {manifest.model}, the settings ask for {wanted}"
    if last is None:
        return "no run of this job has trained from nothing yet"
    if last.get("settings") != settings_mark(run):
        return "the settings of the training have changed"
    if lineage is not None and lineage.updates_since_full >= limits.after_updates:
        return f"{lineage.updates_since_full} updates have been made since the last full training"
    age = run.journal.started_at - last["started_at"]
    if age >= timedelta(days=limits.after_days):
        return f"the last full training was {age.days} days ago"
    return ""
