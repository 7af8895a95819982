"""The verb learn-repeats: a bundle with what users buy again."""

from pathlib import Path
from typing import Annotated

import typer


def mount(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("learn-repeats")(learn_repeats)


def learn_repeats(
    bundle: Annotated[Path, typer.Argument(help="Directory of a bundle, of any model.")],
    dataset: Annotated[str, typer.Argument(help="Name or path of an ingested dataset, whose events have times.")],
    to: Annotated[Path, typer.Option("--to", help="Directory of the new bundle.", show_default=False)],
    register_as: Annotated[
        str | None, typer.Option("--register-as", help="Register the new bundle as this model's challenger.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Learn and tell, but write nothing.")] = False,
) -> None:
    """Write a bundle that also knows what users buy again, when, and how that stands beside new items."""
    from pipelines.artifacts.registration import register_challenger
    from pipelines.console import output_console
    from pipelines.dataset.directory import DatasetDir
    from pipelines.training import repeats
    from recsys_vae.bundles.additions import with_repeat
    from recsys_vae.bundles.bundle import WRITTEN, Bundle
    from recsys_vae.outputs import check_output

    check_output(to, WRITTEN)
    learned = repeats.learn_repeats(DatasetDir.open(dataset), Bundle.load(bundle))
    console = output_console()
    console.print(
        f"{learned.users:,} users, {learned.purchases:,} purchases, {learned.untimed:,} events without a time"
    )
    console.print(f"the latest of them at {learned.cutoff}")
    console.print(f"{learned.again:.1%} of what the last visits hold had been bought before")
    if not dry_run:
        console.print(f"{with_repeat(bundle, to, learned.head, learned.cutoff).version} in {to}", soft_wrap=True)
        register_challenger(to, register_as)
