import hashlib
from itertools import repeat
from pathlib import Path
from threading import Event

import pytest

from pipelines.ingest.file_hashes import BLOCK, FileHashes


def test_files_are_told_by_their_bytes(tmp_path: Path) -> None:
    long, empty = tmp_path / "long", tmp_path / "empty"
    long.write_bytes(b"head" + b"x" * BLOCK + b"!")
    empty.touch()
    with FileHashes() as hashes:
        hashes.begin([long, tmp_path, tmp_path / "absent"])
        hashes.begin([long, empty])
        found = hashes.of(long)
        assert (found.size, found.first, found.last) == (BLOCK + 5, b"head", b"!")
        assert found.digest == hashlib.sha256(long.read_bytes()).hexdigest()
        assert (hashes.of(empty).size, hashes.of(empty).last) == (0, b"")
        for other in (tmp_path, tmp_path / "absent"):
            with pytest.raises(KeyError):
                hashes.of(other)


def test_what_is_not_needed_any_more_is_left_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.ingest.file_hashes.blocks", lambda path, size: repeat(b"x"))  # never ends
    (tmp_path / "log").touch()
    with FileHashes() as hashes:
        hashes.begin([tmp_path / "log"])


def test_what_is_waited_for_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    with FileHashes() as hashes:
        hashes.begin([tmp_path / "log"], after=Event())


def test_files_are_read_after_what_is_waited_for_as_they_were_before(tmp_path: Path) -> None:
    (log := tmp_path / "log").write_bytes(b"one")
    ready = Event()
    with FileHashes() as hashes:
        hashes.begin([log], after=ready)
        log.write_bytes(b"one and more")
        ready.set()
        assert hashes.of(log).digest == hashlib.sha256(b"one").hexdigest()
