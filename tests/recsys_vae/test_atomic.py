from pathlib import Path

import pytest

from recsys_vae.atomic import atomic_directory, atomic_file, remove_partials, write_atomically


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "file"
    write_atomically(path, "old")

    def fail() -> None:
        with atomic_file(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_a_directory_replaces_the_old_one_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    with atomic_directory(path) as temporary:
        (temporary / "a").write_text("1")

    def fail() -> None:
        with atomic_directory(path) as temporary:
            (temporary / "b").write_text("2")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [p.name for p in path.iterdir()] == ["a"]
    with atomic_directory(path) as temporary:
        (temporary / "c").write_text("3")
    assert [p.name for p in path.iterdir()] == ["c"]
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_leftovers_of_killed_processes_are_cleared(tmp_path: Path) -> None:
    (tmp_path / ".x.123.partial").write_text("")
    (tmp_path / ".x.456.partial").mkdir()
    (tmp_path / ".y.123.partial").write_text("")
    remove_partials(tmp_path / "x")
    assert [p.name for p in tmp_path.iterdir()] == [".y.123.partial"]


def test_a_directory_set_aside_by_a_killed_process_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bundle"
    path.mkdir()
    (path / "old").write_text("kept")
    renames = []

    def rename(source: Path, target: Path) -> None:
        renames.append(source)
        if len(renames) == 2:
            raise KeyboardInterrupt  # as if killed between the two renames
        source.rename(target)

    def write() -> None:
        with atomic_directory(path) as temporary:
            (temporary / "new").write_text("")

    monkeypatch.setattr("recsys_vae.atomic.os.replace", rename)
    with pytest.raises(KeyboardInterrupt):
        write()
    assert not path.exists()
    monkeypatch.undo()
    remove_partials(path)
    assert (path / "old").read_text() == "kept"
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]
