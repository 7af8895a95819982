from pathlib import Path

import pytest

from recsys_vae.atomic import atomic_directory, atomic_file, remove_partials, write_atomically
from recsys_vae.errors import ConfigError
from recsys_vae.outputs import FileProduct, new_directory

LETTERS = new_directory("a folder of letters", ["a", "b", "c", "old"])


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
    with atomic_directory(path, LETTERS) as temporary:
        (temporary / "a").write_text("1")

    def fail() -> None:
        with atomic_directory(path, LETTERS) as temporary:
            (temporary / "b").write_text("2")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [p.name for p in path.iterdir()] == ["a"]
    with atomic_directory(path, LETTERS) as temporary:
        (temporary / "c").write_text("3")
    assert [p.name for p in path.iterdir()] == ["c"]
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_a_strangers_file_that_comes_while_it_is_written_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    path.mkdir()
    (path / "a").write_text("1")

    def write() -> None:
        with atomic_directory(path, LETTERS) as temporary:
            (temporary / "b").write_text("2")
            (path / "notes").write_text("mine")

    with pytest.raises(ConfigError, match="notes in it is no part of a folder of letters"):
        write()
    assert sorted(p.name for p in path.iterdir()) == ["a", "notes"]
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_a_file_of_a_stranger_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("mine")
    with (
        pytest.raises(ConfigError, match="it is not a note"),
        atomic_file(path, FileProduct("a note", lambda _: False)),
    ):
        pass
    assert path.read_text() == "mine"
    assert [p.name for p in tmp_path.iterdir()] == ["log"]


def test_leftovers_of_killed_processes_are_cleared(tmp_path: Path) -> None:
    (tmp_path / ".x.0123abcd.partial").write_text("")
    (tmp_path / ".x.4567abcd.partial").mkdir()
    remove_partials(tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_leftovers_of_other_names_and_what_only_looks_like_one_are_kept(tmp_path: Path) -> None:
    kept = [".x.v2.0123abcd.partial", ".y.0123abcd.partial", ".x.notes.partial", ".xy.0123abcd.replaced"]
    for name in kept:
        (tmp_path / name).write_text("")
    (tmp_path / ".x.89abcdef.partial").symlink_to(tmp_path / kept[0])
    for name in ("x", "[xy]", "*", "x?"):
        remove_partials(tmp_path / name)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*kept, ".x.89abcdef.partial"])


def _written_but_not_renamed(path: Path, monkeypatch: pytest.MonkeyPatch, *, killed: bool) -> None:
    """Write a directory whose second rename fails; where the process is killed, nothing after it is done either."""
    path.mkdir()
    (path / "old").write_text("kept")
    renames = []

    def rename(source: Path, target: Path) -> None:
        renames.append(source)
        if len(renames) == 2 or (killed and len(renames) > 2):
            raise KeyboardInterrupt
        source.rename(target)

    def write() -> None:
        with atomic_directory(path, LETTERS) as temporary:
            (temporary / "a").write_text("")

    monkeypatch.setattr("recsys_vae.atomic.os.replace", rename)
    with pytest.raises(KeyboardInterrupt):
        write()
    monkeypatch.undo()


def test_a_directory_is_put_back_where_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bundle"
    _written_but_not_renamed(path, monkeypatch, killed=False)
    assert (path / "old").read_text() == "kept"
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_a_directory_set_aside_by_a_killed_process_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bundle"
    _written_but_not_renamed(path, monkeypatch, killed=True)
    assert not path.exists()
    remove_partials(path)
    assert (path / "old").read_text() == "kept"
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]
