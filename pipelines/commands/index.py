"""`recsys index`: which index a bundle is to have, and a bundle with another one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.commands.models import KINDS_OF_INDEX, MinRecall
from recsys_vae.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from pipelines.indexing.comparison import Compared
    from pipelines.indexing.questions import Questions
    from recsys_vae.bundles.bundle import Bundle
    from recsys_vae.bundles.manifest import Manifest
    from recsys_vae.protocols import Float32Array

GIB = 2**30
USERS = 1000
UNUSED = (
    "The bundle's tier policy has segment popularity count beside the model: lists of users with whom it does come "
    "from all scores, and no index is asked for them (docs/cold-start.md)."
)
BundlePath = Annotated[Path, typer.Argument(help="Directory of a bundle of a factorised model.")]


def mount(app: typer.Typer) -> None:
    """Add the verbs."""
    index = typer.Typer(
        help="The index of a bundle: measure which kind serves best, build another.", no_args_is_help=True
    )
    index.command()(tune)
    index.command()(build)
    app.add_typer(index, name="index")


def tune(
    bundle: BundlePath,
    dataset: Annotated[str, typer.Argument(help="Name or path of the dataset whose users ask.")],
    recall: Annotated[float, typer.Option(help="Share of the exact lists that must be found.")] = 1.0,
    memory: Annotated[float | None, typer.Option(help="GiB that the index may take, with vectors.")] = None,
    k: Annotated[int, typer.Option("--k", help="Items a list.", min=1)] = 100,
    users: Annotated[int, typer.Option(help="Users who ask, each without what they have already.", min=1)] = USERS,
    kinds: Annotated[
        list[str] | None, typer.Option("--index", help=f"Measure this kind; repeat it. {KINDS_OF_INDEX} [all].")
    ] = None,
    to: Annotated[Path | None, typer.Option("--to", help="Write a bundle with the chosen index.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure again what was measured before.")] = False,
) -> None:
    """Measure recall, memory and latency of kinds of index on a bundle's own vectors; choose the fastest that fits."""
    from pipelines.console import output_console
    from pipelines.indexing.comparison import check_kinds, compare_indexes
    from recsys_vae.bundles.bundle import WRITTEN
    from recsys_vae.outputs import check_output
    from recsys_vae.retrieval.index_files import KINDS

    wanted = check_kinds(kinds or KINDS)
    if to is not None:
        check_output(to, WRITTEN)
    opened, questions = _asked(bundle, dataset, users)
    limit = None if memory is None else memory * GIB
    compared = compare_indexes(
        opened, questions, k=k, recall=recall, memory=limit, kinds=wanted, fresh=fresh, say=typer.echo
    )
    console = output_console()
    console.print(_table(compared, k, recall, limit))
    for kind, reason in compared.failed.items():
        console.print(f"{kind} was not measured: {reason}", soft_wrap=True)
    chosen = compared.chosen
    if chosen is None:
        raise ConfigError(
            f"No index finds {recall:g} of the exact lists within that memory. Ask for less, or allow more."
        )
    console.print(f"chosen: {chosen.kind}, the fastest of those that meet what was asked")
    if to is None:
        asked = (
            f"recsys index build {bundle} {dataset} --index {chosen.kind} --min-recall {_least(chosen.recall)} --to NEW"
        )
        console.print(asked, soft_wrap=True, highlight=False)
    else:
        _tell(_written(bundle, to, chosen.kind, questions.queries, _least(chosen.recall)), to)


def build(
    bundle: BundlePath,
    dataset: Annotated[
        str | None, typer.Argument(help="Dataset whose users an approximate index is measured on.")
    ] = None,
    *,
    index: Annotated[str, typer.Option(help=f"{KINDS_OF_INDEX}.", show_default=False)],
    to: Annotated[Path, typer.Option("--to", help="Directory of the new bundle.", show_default=False)],
    min_recall: MinRecall = 0.99,
) -> None:
    """Write a bundle once more with another index; all else of it stays as it is."""
    from recsys_vae.bundles.bundle import WRITTEN
    from recsys_vae.outputs import check_output
    from recsys_vae.retrieval.index_files import EXACT, check_index

    check_index(index, min_recall)
    check_output(to, WRITTEN)
    if dataset is None and index not in EXACT:
        raise ConfigError(f"An index of kind {index} is measured when it is built: name a DATASET whose users ask.")
    queries = None if dataset is None else _asked(bundle, dataset, USERS)[1].queries
    _tell(_written(bundle, to, index, queries, min_recall), to)


def _asked(bundle: Path, dataset: str, users: int) -> "tuple[Bundle, Questions]":
    from pipelines.dataset.directory import DatasetDir
    from pipelines.indexing.questions import questions_of
    from recsys_vae.bundles.bundle import Bundle

    opened = Bundle.load(bundle)
    return opened, questions_of(opened, DatasetDir.open(dataset), users)


def _written(bundle: Path, to: Path, kind: str, queries: "Float32Array | None", min_recall: float) -> "Manifest":
    from recsys_vae.bundles.additions import with_index

    return with_index(bundle, to, kind, queries=queries, min_recall=min_recall)


def _tell(manifest: "Manifest", to: Path) -> None:
    from pipelines.console import output_console
    from recsys_vae.bundles.tier_policy import TierPolicy

    output_console().print(f"{manifest.version} in {to}, index {manifest.index['kind']}", soft_wrap=True)
    if TierPolicy.from_settings(manifest.ladder).are_weighted:
        output_console().print(UNUSED, soft_wrap=True, highlight=False)


def _least(recall: float) -> float:
    """What an index that has found so much is to find again, on users of its own."""
    return max(0.01, int(recall * 99) / 100)


def _table(compared: "Compared", k: int, recall: float, memory: float | None) -> "Table":
    from rich.table import Table

    from pipelines.indexing.comparison import shortcomings

    columns = ("index", f"recall@{k}", "memory", "p50", "p99", "built in", "file", "")
    table = Table(*columns, title="Single queries, one at a time", title_justify="left")
    for one in compared.measured:
        verdict = "chosen" if one is compared.chosen else shortcomings(one, recall, memory)
        sizes = [f"{size / GIB:.3f} GiB" for size in (one.memory_bytes, one.file_bytes)]
        times = (f"{one.p50_ms:.2f} ms", f"{one.p99_ms:.2f} ms", f"{one.build_seconds:.1f} s")
        misses = verdict if verdict in ("", "chosen") else f"misses {verdict}"
        table.add_row(one.kind, f"{one.recall:.4f}", sizes[0], *times, sizes[1], misses)
    return table
