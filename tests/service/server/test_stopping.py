"""A process that hangs is ended, and one that does not ends by itself."""

import subprocess
import sys

PROGRAM = """
import sys, time
from threading import Thread
from service.server.stopping import end_within
end_within(float(sys.argv[1]))
Thread(target=time.sleep, args=(float(sys.argv[2]),)).start()
"""


def status(patience: float, sleep: float) -> int:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(patience), str(sleep)], timeout=60, check=False
    ).returncode


def test_a_process_that_does_not_come_to_an_end_is_ended() -> None:
    assert status(0.2, 3600) == 1


def test_a_process_that_ends_in_time_ends_well() -> None:
    assert status(3600, 0.1) == 0
