"""Tables keep their columns where there is no terminal to be as wide as."""

import pytest
from rich.table import Table
from typer.testing import CliRunner

from pipelines.cli import build
from pipelines.console import output_console, told_at_last


def wide_table() -> Table:
    table = Table(*(f"a rather long heading {number}" for number in range(12)))
    table.add_row(*("x" * 20 for _ in range(12)))
    return table


def test_a_pipe_gets_whole_tables(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    output_console().print(wide_table())
    told = capsys.readouterr().out
    assert "a rather long heading 11" in told
    assert "…" not in told
    assert len(told.splitlines()) == 5
    assert max(map(len, told.splitlines())) < 400


def test_a_width_that_is_asked_for_is_kept(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    output_console().print(wide_table())
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 60


def test_commands_print_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    told = CliRunner().invoke(build(), ["models"]).stdout
    assert "…" not in told
    (row,) = [line for line in told.splitlines() if line.startswith("│ mult-vae ")]
    assert "variational autoencoder, multinomial likelihood (Liang et al. 2018)" in row


def test_at_last_something_is_done() -> None:
    told: list[str] = []
    step = told_at_last(told.append, "last", lambda: told.append("done"))
    for what in ("first", "last"):
        step(what)
    assert told == ["first", "last", "done"]
