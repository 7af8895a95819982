import os
import signal
import time
from multiprocessing.sharedctypes import SynchronizedArray

import pytest

from tests.benchmarks.reliability_watch import Totals, read_on


def crash_and_hang(progress: SynchronizedArray, first: int, stop: int) -> None:
    """Stands in for what reads files; another process must be able to import it."""
    progress[0] = first
    for number in range(first, stop):
        if number == 2:  # as a fault in native code does
            os.kill(os.getpid(), signal.SIGSEGV)
        if number == 4:
            time.sleep(60)
        progress[:2] = [number + 1, number + 1 - first]


def test_files_that_end_or_hold_up_the_process_are_counted_and_passed_over(capsys: pytest.CaptureFixture[str]) -> None:
    crashed = read_on(Totals(), 10, crash_and_hang, 60)
    assert (crashed.files, crashed.next_file, crashed.crashes, crashed.hangs) == (3, 3, 1, 0)
    stuck = read_on(crashed, 10, crash_and_hang, 1)
    assert (stuck.files, stuck.next_file, stuck.crashes, stuck.hangs) == (5, 5, 1, 1)
    done = read_on(stuck, 2, crash_and_hang, 60)
    assert (done.files, done.next_file, done.faults) == (7, 7, 2)
