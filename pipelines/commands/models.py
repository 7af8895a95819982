"""Verbs about models: models, train, publish."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recsys_vae.errors import ConfigError

if TYPE_CHECKING:
    from pipelines.train import Output, Trained

Dataset = Annotated[str, typer.Argument(help="Name or path of an ingested dataset.")]
To = Annotated[Path, typer.Option("--to", help="Directory of the bundle.", show_default=False)]
Index = Annotated[str, typer.Option(help="flat (exact), hnsw or ivf.")]
MinRecall = Annotated[float, typer.Option(help="What an approximate index must find of the exact top 100.")]
Name = Annotated[str | None, typer.Option("--register-as", help="Registered model; default: the dataset's name.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the bundle that stands there.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")]


def mount(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(models)
    app.command()(train)
    app.command()(publish)


def models() -> None:
    """List the models and their settings."""
    from dataclasses import asdict

    from rich.console import Console
    from rich.table import Table

    from recsys_vae.models.catalog import CATALOG

    table = Table("model", "what it is", "settings (--set NAME=VALUE)")
    for name, entry in CATALOG.items():
        settings = "\n".join(f"{key}={value}" for key, value in asdict(entry.config()).items())
        table.add_row(name, entry.summary, settings or "none")
    Console().print(table)


def train(
    dataset: Dataset,
    to: To,
    split: Annotated[str, typer.Option(help="Split to train and choose on.")] = "strong",
    model: Annotated[str, typer.Option(help="Name of a model; `recsys models` lists them.")] = "mult-vae",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the model, NAME=VALUE.", show_default=False)
    ] = None,
    reference: Annotated[
        bool,
        typer.Option("--reference", help="Exactly as Liang et al. 2018: β rises over all epochs, all are run."),
    ] = False,
    epochs: Annotated[int | None, typer.Option(help="Planned passes over the users.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Users a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of Adam.")] = None,
    kl_weight: Annotated[float | None, typer.Option(help="β at the end of its rise.")] = None,
    patience: Annotated[int | None, typer.Option(help="Epochs without progress before stopping; 0: never.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of initialisation, order, dropout and sampling.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, float32 or bf16.")] = None,
    checkpoint_seconds: Annotated[float | None, typer.Option(help="How much work a killed run may lose.")] = None,
    index: Index = "flat",
    min_recall: MinRecall = 0.99,
    register_as: Name = None,
    overwrite: Overwrite = False,
    resume: Resume = False,
) -> None:
    """Train a model on a split; write, track and register its bundle."""
    from dataclasses import replace

    from pipelines.dataset_dir import DatasetDir
    from pipelines.fit import ModelSpec
    from pipelines.train import train_bundle
    from recsys_vae.models import catalog
    from recsys_vae.training.config import TrainingConfig

    config = catalog.configure(model, dict(_setting(text) for text in settings or ()))
    training = TrainingConfig().as_published() if reference else TrainingConfig()
    chosen: dict[str, Any] = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "kl_weight": kl_weight,
        "patience": patience,
        "seed": seed,
        "device": device,
        "precision": precision,
        "checkpoint_seconds": checkpoint_seconds,
    }
    training = replace(training, **{key: value for key, value in chosen.items() if value is not None})
    opened = DatasetDir.open(dataset)
    output = _output(to, index, min_recall, register_as or opened.name, overwrite)
    _tell(train_bundle(opened, split, ModelSpec(model, config, training), output, resume=resume), output, "validation")


def publish(
    bundle: Annotated[Path, typer.Argument(help="Bundle that `recsys train` wrote.")],
    dataset: Dataset,
    to: To,
    index: Index = "flat",
    min_recall: MinRecall = 0.99,
    register_as: Name = None,
    overwrite: Overwrite = False,
    resume: Resume = False,
) -> None:
    """Measure a bundle on its test part, retrain its model on all data, write and register the result."""
    from pipelines.dataset_dir import DatasetDir
    from pipelines.publish import publish_bundle

    opened = DatasetDir.open(dataset)
    output = _output(to, index, min_recall, register_as or opened.name, overwrite)
    if output.path == bundle.expanduser().resolve():
        raise ConfigError("--to is the bundle itself. Name another directory: the measured bundle is kept.")
    _tell(publish_bundle(bundle, opened, output, resume=resume), output, "test, before retraining on all data")


def _output(to: Path, index: str, min_recall: float, name: str, overwrite: bool) -> "Output":
    from pipelines.train import Output

    return Output(to.expanduser().resolve(), index, min_recall, name, overwrite)


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set takes NAME=VALUE, got {text!r}.")
    return name, value


def _tell(trained: "Trained", output: "Output", measured_on: str) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(f"{trained.manifest.version} on {measured_on}:", soft_wrap=True)
    table = Table("metric", "value", "s.e.")
    for name, value in trained.evaluation.means.items():
        table.add_row(name, f"{value:.4f}", f"{trained.evaluation.standard_errors.get(name, float('nan')):.4f}")
    console.print(table)
    epochs = trained.manifest.provenance.epochs
    console.print(f"bundle      {output.path}" + (f"  ({epochs} epochs)" if epochs else ""), soft_wrap=True)
    console.print(f"registered  models:/{output.registered_name}/{trained.registered_version}  (alias challenger)")
