"""What further training is given beside the change: whom its best epoch is chosen on, and content of new items."""

from typing import TYPE_CHECKING

from scipy.sparse import csr_array

from pipelines.dataset.item_features import content_of
from pipelines.dataset.splits import load_split
from pipelines.training.train import asked_while_training
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.models.autoencoder import Autoencoder

if TYPE_CHECKING:
    from pipelines.updating.update import Course


def validation_of(course: "Course") -> HeldOut | None:
    """Users that the split of a course keeps from training; None where it learns from all data, or from them too."""
    kind, _, rest = course.trained_on.partition(":")
    name, _, part = rest.rpartition("/")
    if kind != "split" or part != "train":
        return None
    return asked_while_training(load_split(course.dataset, name), course.known, course.spec)


def content_for(course: "Course") -> csr_array | None:
    """Content of the items, where the bundle places new ones by it."""
    if not course.bundle.tiers.policy.content or not isinstance(course.bundle.model, Autoencoder):
        return None
    return content_of(course.dataset, course.change.after.items)
