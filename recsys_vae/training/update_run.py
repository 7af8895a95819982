"""What an update by training is given, and what any update gives back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scipy.sparse import csr_array

from recsys_vae.data.change import Change
from recsys_vae.data.signals import shown_to
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.protocols import Scorer
from recsys_vae.training.fit import Fitted, ModelSpec
from recsys_vae.training.tracking import Tracker
from recsys_vae.training.warm_start import WarmStartConfig


@dataclass(frozen=True, eq=False)
class UpdateRun:
    """An update that is to be made.

    Attributes:
        spec: of the model that is updated.
        change: what came in and went.
        epochs_before: passes over the data that its weights have seen.
        metadata: of the users after the change, in the columns that the model was made for, where it takes any.
        item_metadata: of the items after the change, likewise.
        content: of the items after the change, by which new ones are placed where a model keeps rows of items.
        validation: users on whom the best epoch is chosen, over the items after the change; None takes the last.
        order: of the interactions after the change, for models that go by it.
        erased: how many users that the model has learned from are to be forgotten.
        number: which update since the last full training, from 1.
        warm_start: settings of training that goes on.
        tracker: is told the metrics of each epoch.
        checkpoint: file that training is saved to as it goes; the caller removes it.
        resume: go on from the checkpoint where it exists.
        progress: show a progress bar on standard error.
    """

    spec: ModelSpec
    change: Change
    epochs_before: int = 0
    metadata: csr_array | None = None
    item_metadata: csr_array | None = None
    content: csr_array | None = None
    validation: HeldOut | None = None
    order: csr_array | None = None
    erased: int = 0
    number: int = 1
    warm_start: WarmStartConfig = field(default_factory=WarmStartConfig)
    tracker: Tracker | None = None
    checkpoint: Path | None = None
    resume: bool = False
    progress: bool = False

    def learned_from(self, model: Scorer) -> csr_array:
        """What a model learns from after the change: signed where it takes dislikes."""
        return shown_to(model, self.change.to_learn)


@dataclass(frozen=True, eq=False)
class Update:
    """What came of an update.

    Attributes:
        fitted: the model, over the items after the change, with its epochs (all that its weights have seen) and the
            seconds that the update took.
        how: exact, refit or warm, see `models.updatable`.
        figures: what there is to tell, by name.
    """

    fitted: Fitted
    how: str
    figures: Mapping[str, float | str] = field(default_factory=dict)
