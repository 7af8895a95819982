"""The progress bar of a training run, on standard error."""

import sys

from tqdm import tqdm

from recsys_vae.training.checkpoint import RunState


def progress_bar(state: RunState, steps_per_epoch: int, last_epoch: int, *, shown: bool) -> tqdm:
    """A bar over the steps of all epochs; a log file gets a line a minute instead of ten a second."""
    return tqdm(
        total=last_epoch * steps_per_epoch,
        initial=state.epoch * steps_per_epoch + state.step,
        desc=f"training {last_epoch} epochs",
        unit="step",
        disable=not shown,
        dynamic_ncols=True,
        mininterval=0.2 if sys.stderr.isatty() else 60.0,
    )
