"""The verb learn-ranker: a bundle with a second stage."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recsys_vae.errors import ConfigError

if TYPE_CHECKING:
    from pipelines.training.fit import ModelSpec

DEPTH = 200
"""Candidates of each model."""


def mount(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("learn-ranker")(learn_ranker)


def learn_ranker(
    bundle: Annotated[Path, typer.Argument(help="Directory of the bundle that becomes the first stage.")],
    dataset: Annotated[str, typer.Argument(help="Name or path of the dataset that it was trained on.")],
    to: Annotated[Path, typer.Option("--to", help="Directory of the new bundle.", show_default=False)],
    others: Annotated[
        list[Path] | None,
        typer.Option("--with", help="Bundle whose model finds candidates, too; repeat it for several."),
    ] = None,
    train: Annotated[
        list[str] | None,
        typer.Option(
            help="Model, by name or settings file, trained on the bundle's split to find candidates, too; repeat for "
            "several."
        ),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(help="Train the models that stand in the second stage of this bundle beside the first, likewise."),
    ] = None,
    impressions: Annotated[
        Path | None,
        typer.Option(
            help="Table of what users of the validation part were shown: user_id, item_id, reward, with list_id and "
            "position where there are any. Without, what they took of the candidates counts."
        ),
    ] = None,
    candidates: Annotated[
        int | None, typer.Option(min=1, help="Items that each model finds for a user [that of --like, or 200].")
    ] = None,
    leaves: Annotated[int, typer.Option(min=2, help="Leaves of a tree.")] = 15,
    learning_rate: Annotated[float, typer.Option(help="What a tree counts for, above 0, at most 1.")] = 0.05,
    seed: Annotated[int, typer.Option(help="Of folds and trees.")] = 0,
    trees_of: Annotated[
        Path | None,
        typer.Option(
            help="Take the trees of this bundle and learn none: for the same models after `recsys publish`, which have "
            "learned from all data."
        ),
    ] = None,
    register_as: Annotated[
        str | None, typer.Option("--register-as", help="Register the new bundle as this model's challenger.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Learn and tell, but write nothing.")] = False,
) -> None:
    """Write a bundle whose lists a second stage puts in order: trees over the candidates of several models."""
    from pipelines.artifacts.registration import register_challenger
    from pipelines.console import output_console
    from pipelines.dataset.directory import DatasetDir
    from pipelines.training import ranker
    from pipelines.training.beside import check_before_learning, check_further_bundles, contributors, specs_like
    from recsys_vae.bundles.additions import with_ranker
    from recsys_vae.bundles.bundle import WRITTEN, Bundle
    from recsys_vae.bundles.second_stage import ModelPart
    from recsys_vae.outputs import check_output
    from recsys_vae.second_stage.learning import LearningConfig
    from recsys_vae.tracking_store import check_model_name

    check_output(to, WRITTEN)
    if register_as is not None:
        check_model_name(register_as)
    console, first, rest = output_console(), Bundle.load(bundle), [Bundle.load(path) for path in others or ()]
    named = [(bundle, first), *zip(others or (), rest, strict=True)]
    opened, old = DatasetDir.open(dataset), None if like is None else Bundle.load(like)
    specs = [_specified(one) for one in train or ()] + ([] if old is None else specs_like(old))
    if trees_of is not None:
        if specs:
            raise ConfigError("--trees-of learns nothing: give models that have learned from all data by --with.")
        check_further_bundles(named[1:])
        found = ranker.with_trees_of(Bundle.load(trees_of), first, rest)
    else:
        config = LearningConfig(leaves=leaves, learning_rate=learning_rate, seed=seed)
        check_before_learning(named, opened, config, impressions=impressions)
        found_by = contributors(first, rest, opened, specs)
        rest = found_by.shipped[1:]
        depth = candidates or (old.ranker.candidates.depth if old is not None and old.ranker is not None else DEPTH)
        learning, *beside = found_by.learning
        learned = ranker.learn_ranker(learning, beside, opened, impressions=impressions, depth=depth, config=config)
        found = ranker.put_onto(learned.ranker, first, rest)
        console.print(
            f"{learned.users:,} users, {learned.pairs:,} pairs, {learned.found:.1%} of what they took among them"
        )
        console.print(
            f"{found.trees.n_trees} trees; ndcg@{config.at} of users they have not seen {learned.before:.4f} by "
            f"{first.manifest.model}, {learned.after:.4f} by the trees"
        )
        for caution in learned.cautions:
            print(f"warning: {caution}", file=sys.stderr)
    if not dry_run:
        parts = [ModelPart.of(one.manifest) for one in rest]
        console.print(f"{with_ranker(bundle, to, found, parts).version} in {to}", soft_wrap=True)
        register_challenger(to, register_as)


def _specified(asked: str) -> "ModelSpec":
    """The model of a settings file, or one by its name."""
    from pipelines.training.model_settings import read_settings, specify

    if not asked.endswith(".toml"):
        return specify(asked, {})
    file = read_settings(Path(asked))
    return specify(file.model, file.settings)
