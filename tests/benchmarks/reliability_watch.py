"""Files read in a process of its own, which another one watches: what ends it or holds it up is counted, and passed."""

import multiprocessing
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.sharedctypes import SynchronizedArray

COUNTED = ("files", "refused", "unaccounted", "tracebacks", "rows", "rejected")
"""What the process that reads tells of, in this order; `reliability_count.Count` says what is what."""
NOT_BEGUN = -1


@dataclass(frozen=True)
class Totals:
    """What came of all files so far.

    Attributes:
        next_file: number, and seed, of the next one.
        crashes: files that ended the process.
        hangs: files that held it up where no signal reached it.
        seconds: that all took.
    """

    next_file: int = 0
    files: int = 0
    refused: int = 0
    unaccounted: int = 0
    tracebacks: int = 0
    rows: int = 0
    rejected: int = 0
    crashes: int = 0
    hangs: int = 0
    seconds: float = 0.0

    @property
    def faults(self) -> int:
        """Files that went wrong, in any way."""
        return self.unaccounted + self.tracebacks + self.crashes + self.hangs


Read = Callable[[SynchronizedArray, int, int], None]
"""Reads files by number, from one to before another; keeps the next one, and what is `COUNTED`, in an array."""


def read_on(totals: Totals, n_files: int, read: Read, stuck_after: float) -> Totals:
    """Read so many files more, or until one ends the process or holds it up for so many seconds."""
    context = multiprocessing.get_context("spawn")
    progress = context.Array("q", 1 + len(COUNTED))
    progress[0] = NOT_BEGUN
    started = time.perf_counter()
    worker = context.Process(target=read, args=(progress, totals.next_file, totals.next_file + n_files))
    worker.start()
    is_stuck = not _ends(worker, progress, stuck_after)
    if progress[0] == NOT_BEGUN:
        raise RuntimeError(f"The process that reads did not begin (exit {worker.exitcode}); its output says why.")
    counted = {name: getattr(totals, name) + int(count) for name, count in zip(COUNTED, progress[1:], strict=True)}
    seconds = totals.seconds + time.perf_counter() - started
    totals = replace(totals, **counted, next_file=int(progress[0]), seconds=seconds)
    if not is_stuck and worker.exitcode == 0:
        return totals
    print(f"file {totals.next_file}: {'stuck' if is_stuck else f'exit {worker.exitcode}'}", file=sys.stderr, flush=True)
    lost = {"hangs": totals.hangs + 1} if is_stuck else {"crashes": totals.crashes + 1}
    return replace(totals, **lost, files=totals.files + 1, next_file=totals.next_file + 1)


def _ends(worker: multiprocessing.process.BaseProcess, progress: SynchronizedArray, stuck_after: float) -> bool:
    """Wait until it ends; it is killed where it has begun and comes to no other file for so many seconds."""
    before = NOT_BEGUN
    while worker.is_alive():
        worker.join(stuck_after)
        if worker.is_alive() and progress[0] == before != NOT_BEGUN:
            worker.kill()
            worker.join()
            return False
        before = progress[0]
    return True
