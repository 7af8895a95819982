import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from recsys_vae.atomic import atomic_directory, remove_partials
from recsys_vae.errors import BusyError
from recsys_vae.locks import exclusive, lock_path
from recsys_vae.outputs import new_directory

LETTERS = new_directory("a folder of letters", ["a"])
HOLDER = textwrap.dedent("""
    import sys
    from pathlib import Path
    from recsys_vae.atomic import atomic_directory
    from recsys_vae.outputs import new_directory

    with atomic_directory(Path(sys.argv[1]), new_directory("a folder of letters", ["a"])) as temporary:
        (temporary / "a").write_text("theirs")
        print("writing", flush=True)
        sys.stdin.readline()
""")


@contextmanager
def another_writer(place: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that is in the middle of writing `place`."""
    command = [sys.executable, "-c", HOLDER, str(place)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "writing\n"
        yield process
        process.kill()


def write(place: Path) -> None:
    with atomic_directory(place, LETTERS) as temporary:
        (temporary / "a").write_text("ours")


def test_a_second_writer_is_told_who_writes_and_spoils_nothing(tmp_path: Path) -> None:
    with another_writer(tmp_path / "data") as process:
        remove_partials(tmp_path / "data")
        with pytest.raises(BusyError, match=rf"data is being worked on by process {process.pid} on .*, since 20"):
            write(tmp_path / "data")
        process.communicate("go on\n")
    assert (tmp_path / "data" / "a").read_text() == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_the_lock_of_a_process_that_died_is_taken_over_and_its_leftovers_are_cleared(tmp_path: Path) -> None:
    with another_writer(tmp_path / "data") as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert sorted(path.name for path in tmp_path.iterdir())[0].startswith(".data.")
    assert json.loads(lock_path(tmp_path / "data").read_text())["process"] == process.pid
    remove_partials(tmp_path / "data")
    write(tmp_path / "data")
    assert (tmp_path / "data" / "a").read_text() == "ours"
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_who_waits_gets_the_lock_when_it_is_free(tmp_path: Path) -> None:
    with another_writer(tmp_path / "data") as process:
        assert process.stdin
        process.stdin.write("go on\n")
        process.stdin.flush()
        with exclusive(tmp_path / "data", wait=60):
            assert (tmp_path / "data" / "a").read_text() == "theirs"


def test_a_process_may_enter_its_lock_again(tmp_path: Path) -> None:
    with exclusive(tmp_path / "data"):
        write(tmp_path / "data")
        assert json.loads(lock_path(tmp_path / "data").read_text())["process"] == os.getpid()
    assert not lock_path(tmp_path / "data").exists()


def test_names_that_begin_alike_have_locks_of_their_own(tmp_path: Path) -> None:
    with another_writer(tmp_path / "c.v2"):
        write(tmp_path / "c")
        assert len(list(tmp_path.glob(".c.v2.*.partial"))) == 1
