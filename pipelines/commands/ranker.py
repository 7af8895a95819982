"""The verb learn-ranker: a bundle with a second stage."""

from pathlib import Path
from typing import Annotated

import typer


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
    impressions: Annotated[
        Path | None,
        typer.Option(
            help="Table of what users of the validation part were shown: user_id, item_id, reward, with list_id and "
            "position where there are any. Without, what they took of the candidates counts."
        ),
    ] = None,
    candidates: Annotated[int, typer.Option(min=1, help="Items that each model finds for a user.")] = 200,
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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Learn and tell, but write nothing.")] = False,
) -> None:
    """Write a bundle whose lists a second stage puts in order: trees over the candidates of several models."""
    from pipelines.console import output_console
    from pipelines.dataset.directory import DatasetDir
    from pipelines.training import ranker
    from recsys_vae.bundles.additions import with_ranker
    from recsys_vae.bundles.bundle import WRITTEN, Bundle
    from recsys_vae.outputs import check_output
    from recsys_vae.second_stage.learning import LearningConfig

    check_output(to, WRITTEN)
    console, first, rest = output_console(), Bundle.load(bundle), [Bundle.load(path) for path in others or ()]
    if trees_of is not None:
        found = ranker.with_trees_of(Bundle.load(trees_of), first, rest)
    else:
        config = LearningConfig(leaves=leaves, learning_rate=learning_rate, seed=seed)
        learned = ranker.learn_ranker(
            first, rest, DatasetDir.open(dataset), impressions=impressions, depth=candidates, config=config
        )
        found = learned.ranker
        console.print(
            f"{learned.users:,} users, {learned.pairs:,} pairs, {learned.found:.1%} of what they took among them"
        )
        console.print(
            f"{found.trees.n_trees} trees; ndcg@{config.at} of users they have not seen {learned.before:.4f} by "
            f"{first.manifest.model}, {learned.after:.4f} by the trees"
        )
    if not dry_run:
        versions = tuple(one.version for one in rest)
        console.print(f"{with_ranker(bundle, to, found, versions).version} in {to}")
