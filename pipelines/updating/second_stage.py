"""Models that stand beside the first in a second stage, brought up to date as the first one is."""

from typing import TYPE_CHECKING

from pipelines.training.fit import Fitted, ModelSpec
from pipelines.training.item_inputs import item_metadata_for
from recsys_vae.bundles.second_stage import ModelPart
from recsys_vae.data.change import Change
from recsys_vae.errors import BundleError, ModelError
from recsys_vae.protocols import ClosedFormRecommender, Recommender, takes_dislikes
from recsys_vae.training import fit as fitting
from recsys_vae.training import update as updating
from recsys_vae.training.update_run import UpdateRun
from recsys_vae.training.warm_start import WarmStartConfig

if TYPE_CHECKING:
    from pipelines.training.train import Output
    from pipelines.updating.update import Course


def check_parts(course: "Course") -> None:
    """Raise BundleError where a bundle has a second stage that cannot be brought up to date; nothing is computed."""
    kept = course.kept
    if kept.parent.ranker is None:
        return
    try:
        if course.n_forgotten:
            raise BundleError("its trees may have learned of users who are to be forgotten.")
        for number, (spec, _) in enumerate(zip(kept.specs, kept.parent.ranker_parts, strict=True)):
            updating.plan(_model(course, number), UpdateRun(spec, _change(course, _model(course, number))))
    except (BundleError, ModelError) as error:
        raise kept.cannot(error) from error


def updated_part(
    course: "Course", number: int, spec: ModelSpec, part: ModelPart, output: "Output", warm_start: WarmStartConfig
) -> Fitted:
    """One of the models after the change; one in closed form that has learned from other data is fitted anew.

    Args:
        number: of the model, from 1.
        spec: how it learns.
        part: what is known of it.
        output: where checkpoints lie.
        warm_start: settings of models that are trained further.
    """
    model = _model(course, number - 1)
    change = _change(course, model)
    if isinstance(model, ClosedFormRecommender) and part.learned_from != change.before.fingerprint():
        return fitting.fit(spec, change.to_learn)
    run = UpdateRun(
        spec,
        change,
        epochs_before=part.epochs,
        item_metadata=item_metadata_for(spec, course.dataset, change.after.items),
        number=course.number,
        warm_start=warm_start,
        checkpoint=output.workspace / f"beside-{number}.safetensors",
        resume=True,
        progress=True,
    )
    return updating.update(model, run).fitted


def _model(course: "Course", number: int) -> Recommender:
    ranker = course.kept.parent.ranker
    assert ranker is not None
    return ranker.candidates.further[number][1]


def _change(course: "Course", model: Recommender) -> Change:
    """As a model sees it."""
    change = course.change
    if not takes_dislikes(model):
        return Change(change.before, change.after)
    return Change(change.before, change.after, change.dislikes_before, course.disliked)
