"""Question: what a comparison is to tell."""

from dataclasses import dataclass, field
from pathlib import Path

from pipelines.dataset.directory import DatasetDir
from recsys_vae.training.config import TrainingConfig


@dataclass(frozen=True)
class Question:
    """What is compared, and how.

    Attributes:
        dataset: it.
        split: name of the split whose validation part decides.
        metric: what is to be high there; None for ndcg@100, or a shorter list where the catalogue is small.
        budget: seconds, all in all.
        only: names of models; none for all.
        training: settings of the training that nobody chooses.
        name: of the comparison.
    """

    dataset: DatasetDir
    split: str = "strong"
    metric: str | None = None
    budget: float = 600.0
    only: tuple[str, ...] = ()
    training: TrainingConfig = field(default_factory=TrainingConfig)
    name: str = ""

    @property
    def folder(self) -> Path:
        """Where it is kept."""
        return self.dataset.comparison_path(self.name or self.split)
