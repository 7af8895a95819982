"""Trackers: where parameters and metrics of a run go. The library's only import of mlflow is here."""

from collections.abc import Mapping
from typing import Protocol


class Tracker(Protocol):
    """What the training loop tells about itself."""

    @property
    def run_id(self) -> str | None:
        """Identity of the run at the tracking server; a checkpoint keeps it, so that a resumed run goes on in it."""
        ...

    def log_parameters(self, parameters: Mapping[str, object]) -> None:
        """Tell what was chosen."""
        ...

    def log_metrics(self, metrics: Mapping[str, float], epoch: int) -> None:
        """Tell what was measured after an epoch."""
        ...


class NoTracker:
    """Tells nobody."""

    run_id: str | None = None

    def log_parameters(self, parameters: Mapping[str, object]) -> None:
        """Do nothing."""

    def log_metrics(self, metrics: Mapping[str, float], epoch: int) -> None:
        """Do nothing."""
