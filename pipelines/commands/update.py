"""`recsys update`: a bundle learns what came in, or forgets whom it should."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.commands.models import DropRanker, DropRepeats, Kept, MinRecall, Name, Overwrite, kind_of_index
from pipelines.commands.settings import chosen
from recsys_vae.errors import ConfigError

if TYPE_CHECKING:
    from pipelines.training.train import Output
    from pipelines.updating.update import Course, UpdatedBundle


def mount(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(update)


def update(
    bundle: Annotated[Path, typer.Argument(help="Bundle that learned from an earlier state of the data.")],
    dataset: Annotated[
        str,
        typer.Argument(
            help="Dataset that BUNDLE was trained on, grown since; or a log (file, quoted glob, address), which is "
            "appended to it first."
        ),
    ],
    to: Annotated[
        Path | None,
        typer.Option("--to", help="Directory of the new bundle; default: beside BUNDLE, named BUNDLE-u1, -u2 ..."),
    ] = None,
    erase: Annotated[
        Path | None,
        typer.Option(help="Users to be forgotten: a file with an id a line, or a table with a column user_id."),
    ] = None,
    before: Annotated[
        str | None,
        typer.Option("--from", help="Dataset that BUNDLE was trained on, where DATASET no longer holds what that did."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="Learn from the training part of this split, or from all data (all) [as BUNDLE did]."),
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of further training, NAME=VALUE: epochs, replay, learning_rate ..."),
    ] = None,
    drop_repeats: DropRepeats = False,
    drop_ranker: DropRanker = False,
    index: Kept = None,
    min_recall: MinRecall = 0.99,
    register_as: Name = None,
    overwrite: Overwrite = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what came in and what would be done; no more.")
    ] = False,
) -> None:
    """Update a bundle with what came in since it was trained; write and register the result."""
    from pipelines.dataset.directory import DatasetDir
    from pipelines.training.train import check_index_use
    from pipelines.updating.erasure import read_erased
    from pipelines.updating.update import course_of, stands, update_bundle
    from recsys_vae.locks import exclusive
    from recsys_vae.settings import with_plain_settings
    from recsys_vae.training.warm_start import WarmStartConfig

    settings = chosen(sets)
    warm_start = with_plain_settings(WarmStartConfig(), settings, of="a warm start")
    source = bundle.expanduser().resolve()
    opened = DatasetDir.open(_grown(source, dataset, dry_run=dry_run) if _is_log(dataset) else dataset)
    output = _output(source, to, index or kind_of_index(source), min_recall, register_as or opened.name, overwrite)
    erased = read_erased(erase)
    course = course_of(
        source,
        opened,
        before=DatasetDir.open(before) if before else None,
        split=split,
        erased=erased,
        drop_repeats=drop_repeats,
        drop_ranker=drop_ranker,
    )
    _check_settings(course, settings)
    check_index_use(course.spec, output)
    _tell_change(course)
    if course.brings_nothing:
        print(f"Nothing came in: {course.bundle.version} has learned all that there is. Nothing was written.")
        return
    if dry_run:
        print("would be written to  " + str(output.path))
        return
    with exclusive(output.path):
        if not overwrite and stands(output, course):
            print(f"{output.path} is that update already, and is registered.")
            return
        _check_free(output)
        _tell(update_bundle(course, output, warm_start), output)


def _is_log(name: str) -> bool:
    """Whether it names a log rather than a dataset."""
    from pipelines.dataset.directory import TABLE, DatasetDir
    from recsys_vae.remote import is_remote

    if (DatasetDir.at(name).path / TABLE).is_file():
        return False
    return is_remote(name) or Path(name).expanduser().is_file() or any(mark in name for mark in "*?")


def _grown(bundle: Path, log: str, *, dry_run: bool) -> str:
    """The dataset of a bundle, with a log appended under its settings."""
    from pipelines.dataset.directory import DatasetDir
    from pipelines.ingest.append import append
    from pipelines.ingest.log_files import find_files
    from pipelines.sources.staging import staged
    from recsys_vae.bundles.manifest import read_manifest

    name = read_manifest(bundle).provenance.dataset
    if dry_run:
        raise ConfigError(
            f"--dry-run appends nothing. See what comes in: recsys ingest {log} --to {name} --append --dry-run"
        )
    with staged([log], say=print) as files:
        appended = append(find_files(files), DatasetDir.open(name))
    for line in appended.said():
        print(f"{name}: {line}", flush=True)
    return name


def _output(source: Path, to: Path | None, index: str, min_recall: float, name: str, overwrite: bool) -> "Output":
    from pipelines.training.train import Output
    from pipelines.updating.update import WRITTEN, check_nothing_lost, default_output
    from recsys_vae.bundles.manifest import read_manifest
    from recsys_vae.outputs import check_output

    place = to or default_output(source, read_manifest(source))
    output = Output(check_output(place, WRITTEN), index, min_recall, name, overwrite)
    check_nothing_lost(source, output)
    return output


def _check_settings(course: "Course", settings: Mapping[str, object]) -> None:
    from recsys_vae.training.update import takes_settings

    if settings and not takes_settings(course.bundle.model):
        raise ConfigError(
            f"The update of {course.spec.name} has no settings: {', '.join(settings)} has no effect on it. Leave --set "
            "out."
        )


def _check_free(output: "Output") -> None:
    from pipelines.artifacts.workspace import check_workspace
    from pipelines.updating.update import WRITTEN

    check_workspace(output, resume=True, product=WRITTEN)


def _tell_change(course: "Course") -> None:
    counts = course.counts
    print(
        f"{course.bundle.version}: {counts.new_users:,} users came in, {counts.changed_users:,} changed, "
        f"{counts.gone_users:,} went; {counts.new_items:,} items came in, {counts.gone_items:,} went; "
        f"{counts.new_interactions:,} interactions came in, {counts.gone_interactions:,} went.",
        flush=True,
    )
    told = {
        "interactions have another weight": course.change.n_reweighed,
        "dislikes came in": counts.new_dislikes,
        "dislikes went": counts.gone_dislikes,
    }
    if any(told.values()):
        print(", ".join(f"{number:,} {what}" for what, number in told.items() if number) + ".", flush=True)
    if course.change.has_unknown_dislikes:
        print(
            f"note: the dislikes that {course.bundle.version} has learned from are not found, so that all count as "
            "new. Name the dataset that it was trained on with --from; a bundle from before their fingerprint was kept "
            "is fitted once.",
            flush=True,
        )
    if missing := int((course.change.before.users.rows(course.erased.values) < 0).sum()):
        print(f"note: {missing:,} of {len(course.erased):,} users to erase are none that it learned from.", flush=True)
    print("plan: " + _figures(course.plan()), flush=True)


def _tell(made: "UpdatedBundle", output: "Output") -> None:
    lineage = made.manifest.lineage
    print(f"{made.manifest.version}: {lineage['how']} in {made.seconds:.1f} s, {_figures(lineage['figures'])}")
    print(f"lineage     {lineage['updates_since_full']} updates since {lineage['last_full'] or 'this full training'}")
    print(f"bundle      {output.path}")
    print(f"registered  models:/{output.registered_name}/{made.registered_version}  (alias challenger)")


def _figures(figures: Mapping[str, object]) -> str:
    told = (f"{name.replace('_', ' ')} {value:.3g}" if isinstance(value, float) else f"{name.replace('_', ' ')} {value}"
            for name, value in figures.items())  # fmt: skip
    return ", ".join(told)
