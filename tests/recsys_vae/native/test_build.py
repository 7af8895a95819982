import json
from pathlib import Path

import pytest

from recsys_vae.native.build import PARQUET, RECORD, TABLES, build, levels

NAMES = [*(level.name for level in levels()), TABLES, PARQUET]
WRITES = 'while [ $# -gt 0 ]; do [ "$1" = -o ] && echo {} > "$2"; shift; done'


def compiler(folder: Path, script: str) -> str:
    """One that is a shell script."""
    path = folder / "compiler"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def left_out(folder: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((folder / RECORD).read_text())["left_out"]
    return found


def test_every_level_is_made_for_any_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    monkeypatch.setenv("CXX", compiler(tmp_path, f'echo "$@" >> {log}\n{WRITES.format("code")}'))
    said: list[str] = []
    made = build(tmp_path / "made", said.append)
    assert [path.name for path in made] == sorted([*(f"{name}.so" for name in NAMES), RECORD])
    assert left_out(tmp_path / "made") == {}
    assert said == []
    assert "=native" not in log.read_text()


def test_without_a_compiler_nothing_fails_and_all_are_told_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    said: list[str] = []
    assert [path.name for path in build(tmp_path / "made", said.append)] == [RECORD]
    assert len(said) == 1
    assert "no C++ compiler (no-such-compiler)" in said[0]
    assert list(left_out(tmp_path / "made")) == NAMES


def test_a_level_that_the_compiler_refuses_is_left_out_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuses = 'case "$*" in *avxvnni*) echo "unknown option -mavxvnni" >&2; exit 1;; esac'
    monkeypatch.setenv("CXX", compiler(tmp_path, f"{refuses}\n{WRITES.format('code')}"))
    made = build(tmp_path / "made", lambda _: None)
    assert sorted(path.stem for path in made if path.suffix == ".so") == sorted(set(NAMES) - {"avxvnni"})
    assert all("unknown option -mavxvnni" in reason for reason in left_out(tmp_path / "made").values())
    assert set(left_out(tmp_path / "made")) == set(NAMES) & {"avxvnni"}


def test_code_for_another_openmp_than_that_of_torch_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", compiler(tmp_path, WRITES.format("__kmpc_fork_call")))
    assert [path.name for path in build(tmp_path / "made", lambda _: None)] == [RECORD]
    assert all("set CXX=g++" in reason for reason in left_out(tmp_path / "made").values())


def test_what_was_there_before_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "old.so").touch()
    monkeypatch.setenv("CXX", "no-such-compiler")
    build(tmp_path / "made", lambda _: None)
    assert not (tmp_path / "made" / "old.so").exists()
