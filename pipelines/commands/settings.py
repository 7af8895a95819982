"""Options that say how a model is set and trained, shared by the verbs that train."""

from pathlib import Path
from typing import Annotated, Any

import typer

from recsys_vae.errors import ConfigError

Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="A setting of the model or of its training, NAME=VALUE.", show_default=False),
]
Epochs = Annotated[int | None, typer.Option(help="Planned passes over the users.")]
BatchSize = Annotated[int | None, typer.Option(help="Users a step.")]
LearningRate = Annotated[float | None, typer.Option(help="Of Adam.")]
LearningRateDecay = Annotated[float | None, typer.Option(help="Share of the steps, the last, in which it falls to 0.")]
WeightDecay = Annotated[float | None, typer.Option(help="Decoupled, as in AdamW.")]
KlWeight = Annotated[float | None, typer.Option(help="β at the end of its rise.")]
KlCycles = Annotated[int | None, typer.Option(help="How often β rises from 0.")]
FreeBits = Annotated[float | None, typer.Option(help="Nats of KL that each latent may use unpunished.")]
Likelihood = Annotated[str | None, typer.Option(help="auto, exact, chunked or sampled.")]
Metric = Annotated[str | None, typer.Option(help="What is to be high on validation; ndcg@100 when not given.")]
Patience = Annotated[int | None, typer.Option(help="Epochs without progress before stopping; 0: never.")]
Seed = Annotated[int | None, typer.Option(help="Of initialisation, order, dropout and sampling.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Precision = Annotated[str | None, typer.Option(help="auto, float32 or bf16.")]
CheckpointSeconds = Annotated[float | None, typer.Option(help="How much work a killed run may lose.")]
SettingsFile = Annotated[
    Path | None,
    typer.Option("--settings", help="File of model and settings, as `recsys tune` writes; --set overrides it."),
]


def chosen(sets: list[str] | None, **options: Any) -> dict[str, Any]:
    """Settings by name from `--set` and from the options that were given.

    Raises:
        ConfigError: a `--set` without `=`, or a setting given both ways.
    """
    settings: dict[str, Any] = dict(_setting(text) for text in sets or ())
    given = {name: value for name, value in options.items() if value is not None}
    if twice := sorted(settings.keys() & given.keys()):
        raise ConfigError(f"{', '.join(twice)} is given twice, by --set and by its own option.")
    return settings | given


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set takes NAME=VALUE, got {text!r}.")
    return name, value
