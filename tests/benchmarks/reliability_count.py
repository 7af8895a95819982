"""What is counted of damaged files, whatever made them: refusals, lines that nobody accounts for, tracebacks."""

import os
import random
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from pipelines.ingest.readers import streams
from pipelines.ingest.readers.blocks import Tally
from recsys_vae.errors import RecsysError
from recsys_vae.native.switch import SWITCH

HANGS_AFTER_S = 10
"""Of processor time: a busy machine may hold up a file that is read in milliseconds."""
LONGEST_MESSAGE = 2000
BLOCKS = (3, 17, 17, 64, 64, 64, 64, *[1 << 20] * 43)
"""Bytes that are read at a time; a reading in small blocks costs as much as several in one."""
MARKS_OF_16_BITS = (b"\xff\xfe", b"\xfe\xff")


@dataclass
class Count:
    """What came of it.

    Attributes:
        files: that were read.
        refused: of them, as a whole, with a message for people.
        unaccounted: whose rows and lines do not add up, or whose message is none for people.
        tracebacks: that ended otherwise, or took more than `HANGS_AFTER_S`.
        rows: that were read of all.
        rejected: records that could not be read.
    """

    files: int = 0
    refused: int = 0
    unaccounted: int = 0
    tracebacks: int = 0
    rows: int = 0
    rejected: int = 0

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Count one file, whatever is raised."""
        self.files += 1
        signal.setitimer(signal.ITIMER_PROF, HANGS_AFTER_S)
        try:
            yield
        except RecsysError as error:
            self.refused += 1
            said = str(error)
            self.check(len(said) < LONGEST_MESSAGE and "fault of" not in said, f"{name}: {said[:300]}")
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # panics of polars are no Exceptions
            self.tracebacks += 1
            print(f"{name}:", file=sys.stderr)
            traceback.print_exc()
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)

    def add(self, tally: Tally, n_rows: int, n_lines: int | None, name: str) -> None:
        """Count what was read of a file: its rows are those of the blocks, every line of it is in the account.

        Args:
            n_rows: rows that came out of the reader.
            n_lines: lines of the file as counted here; None: nobody can tell.
        """
        self.rows, self.rejected = self.rows + tally.rows, self.rejected + tally.rejected
        adds_up = tally.rows == n_rows and tally.records + tally.apart == tally.lines
        self.check(adds_up and n_lines in (None, tally.lines), f"{name}: {n_lines} lines, {n_rows} rows, {tally}")

    def check(self, is_right: bool, what: str) -> None:
        """Count a file whose account is wrong, and say so."""
        if not is_right:
            self.unaccounted += 1
            print(f"not accounted for: {what}", file=sys.stderr)


def draw_way(chance: random.Random) -> None:
    """Read what follows in blocks of a few bytes or in one, with compiled loops or without; `reading` undoes it."""
    os.environ[SWITCH] = chance.choice("011")
    streams.BLOCK = streams.PACKED = chance.choice(BLOCKS)


@contextmanager
def reading() -> Iterator[Path]:
    """A folder, in memory where that can be, in which files are read that are taken to hang after `HANGS_AFTER_S`."""
    before = streams.BLOCK, streams.PACKED
    handler = signal.signal(signal.SIGPROF, _raise_that_it_hangs)
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=memory) as folder, mock.patch.dict(os.environ):
        try:
            yield Path(folder)
        finally:
            streams.BLOCK, streams.PACKED = before
            signal.signal(signal.SIGPROF, handler)


def _raise_that_it_hangs(*_: object) -> None:
    raise TimeoutError(f"a file took more than {HANGS_AFTER_S} s of processor time")


def lines_of(data: bytes) -> int | None:
    """Lines of a text as editors count them, by no code of the readers; None where a character takes 16 bits."""
    if data.startswith(MARKS_OF_16_BITS):
        return None
    text = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return text.count(b"\n") + (not text.endswith(b"\n") and text != b"")
