"""Options that are made from the fields of a configuration."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from pipelines.cli import build
from pipelines.commands.settings import with_options_of
from recsys_vae.settings import options, setting
from recsys_vae.training.config import TrainingConfig

OPTIONS = {
    "--epochs": 200, "--batch-size": 500, "--learning-rate": 1e-3, "--learning-rate-decay": 0.0, "--weight-decay": 0.0,
    "--kl-weight": 0.2, "--kl-cycles": 1, "--free-bits": 0.0, "--likelihood": "auto", "--patience": 20,
    "--metric": "ndcg@100", "--seed": 42, "--device": "auto", "--precision": "auto", "--checkpoint-seconds": 60.0,
    "--leaves": 0, "--shard-items": False,
}  # fmt: skip
"""What scripts that call `recsys train` rely on."""


@dataclass(frozen=True)
class Boat:
    sails: int = setting(2, "How many.")
    top_speed: float = setting(5.5, "In knots.", option="speed")
    name: str = setting("Vega", "Painted on it.", option="")
    is_wooden: bool = setting(False, "Of wood.")


def boat(**limits: Any) -> typer.Typer:
    app = typer.Typer()

    @app.command()
    @with_options_of(Boat, *limits.pop("only", ()), **limits)
    def sail(port: str, again: bool = False, *, training: Mapping[str, Any]) -> None:
        print(port, again, dict(training))

    return app


def run(app: typer.Typer, *arguments: str) -> str:
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "200"}).output


def test_the_verb_gets_what_was_given_by_name() -> None:
    assert run(boat(), "Kiel") == "Kiel False {}\n"
    given = run(boat(), "Kiel", "--again", "--speed", "7", "--sails", "3", "--is-wooden")
    assert given == "Kiel True {'sails': 3, 'top_speed': 7.0, 'is_wooden': True}\n"


def test_values_of_another_type_and_settings_without_an_option_are_refused() -> None:
    assert "valid integer" in run(boat(), "Kiel", "--sails", "many")
    assert "No such option: --name" in run(boat(), "Kiel", "--name", "Lyra")
    assert "No such option: --sails" in run(boat(only=["top_speed"]), "Kiel", "--sails", "3")


def test_help_says_what_a_setting_means_and_what_holds_without_it() -> None:
    told = run(boat(), "--help")
    assert "In knots." in told
    assert "(5.5)" in told
    assert "5.5" not in run(boat(show_defaults=False), "--help")


def test_options_of_training_keep_their_names_and_defaults() -> None:
    defaults = asdict(TrainingConfig())
    assert {option: defaults[name] for name, option in options(TrainingConfig).items()} == OPTIONS
    assert (defaults["kl_anneal"], defaults["negatives"]) == (0.2, 4096)


@pytest.mark.parametrize("verb", ["train", "tune"])
def test_verbs_have_them(verb: str) -> None:
    told = run(build(), verb, "--help")
    kept = {
        "--learning-rate-decay", "--weight-decay", "--kl-cycles", "--free-bits", "--likelihood", "--leaves",
        "--shard-items",
    }  # fmt: skip
    assert [
        option for option in OPTIONS.keys() - (kept if verb == "tune" else set()) if f" {option} " not in told
    ] == []
