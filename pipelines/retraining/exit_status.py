"""Exit statuses of `recsys retrain`, and of `recsys promote` where it refuses, for whoever schedules them."""

from typing import Final

DONE: Final = 0
"""A new model is in service, or nothing new had come."""
FAILED: Final = 1
"""Something went wrong; the same command goes on where it stopped."""
STOPPED: Final = 4
"""The checks of the data stopped the job: somebody has to look at the data."""
REFUSED: Final = 3
"""The gate refused the challenger: the champion stays in service."""
BUSY: Final = 75
"""Another run of this job is under way; sysexits.h calls it a temporary failure."""

MEANINGS: Final = {
    DONE: "done",
    FAILED: "failed",
    STOPPED: "stopped by the checks of the data",
    REFUSED: "refused by the gate",
    BUSY: "another run is under way",
}
