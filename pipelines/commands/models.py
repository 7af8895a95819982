"""Verbs about models: models, train, publish."""

import math
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.commands.ray_option import Ray, chosen_address
from pipelines.commands.settings import Set, SettingsFile, chosen, with_options_of
from recsys_vae.errors import ConfigError, PluginError
from recsys_vae.training.config import TrainingConfig

if TYPE_CHECKING:
    from pipelines.dataset.directory import DatasetDir
    from pipelines.training.decay import Decay
    from pipelines.training.train import Output, Trained
    from recsys_vae.bundles.item_lists import ListRules
    from recsys_vae.bundles.manifest import Manifest
    from recsys_vae.outputs import Product
    from recsys_vae.training.parallel import Group
    from recsys_vae.training.spec import ModelSpec

Dataset = Annotated[str, typer.Argument(help="Name or path of an ingested dataset.")]
To = Annotated[Path, typer.Option("--to", help="Directory of the bundle.", show_default=False)]
KINDS_OF_INDEX = "flat, ondisk (both exact), hnsw, ivf or ivfpq"
Index = Annotated[str, typer.Option(help=f"{KINDS_OF_INDEX}.")]
Kept = Annotated[str | None, typer.Option("--index", help=f"{KINDS_OF_INDEX} [as BUNDLE has it].")]
MinRecall = Annotated[float, typer.Option(help="What an approximate index must find of the exact top 100.")]
Now = Annotated[
    datetime | None,
    typer.Option(help="Moment that ages are counted from, UTC [--half-life; the 99 % quantile of all times]."),
]
Name = Annotated[str | None, typer.Option("--register-as", help="Registered model; default: the dataset's name.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the bundle that stands there.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")]
DropRepeats = Annotated[
    bool,
    typer.Option("--drop-repeats", help="Leave the bundle's repeat-purchase head behind, which is kept otherwise."),
]
DropRanker = Annotated[
    bool, typer.Option("--drop-ranker", help="Leave the bundle's second stage behind, which is kept otherwise.")
]

Workers = Annotated[
    int | None,
    typer.Option(
        help="With --ray: processes that train together, a power of two.  [default: as leaves and processors allow]",
        show_default=False,
    ),
]

Storage = Annotated[
    str | None,
    typer.Option(
        help="With --ray: address of a bucket, such as s3://bucket/training, through which workers on nodes without a "
        "folder in common get the data, and keep checkpoints.",
        show_default=False,
    ),
]

OF_A_COMPARISON = frozenset({"seed", "validation_metric", "device", "precision", "checkpoint_seconds"})
"""Settings of the training that are of no model, so that giving them names none."""


def mount(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(models)
    app.command()(train)
    app.command()(publish)


def models() -> None:
    """List the models, their settings, and the packages that they come from."""
    from rich.table import Table

    from pipelines.console import output_console
    from recsys_vae.models import catalog

    table = Table("model", "what it is", "settings (--set NAME=VALUE)", "from")
    broken = []
    for name in catalog.names():
        try:
            entry = catalog.entry(name)
        except PluginError as error:
            broken.append(str(error))
            continue
        settings = "\n".join(f"{key}={value}" for key, value in catalog.described(entry.config()).items())
        table.add_row(name, entry.summary, settings or "none", catalog.origin(name))
    output_console().print(table)
    if broken:
        raise PluginError(" ".join(broken))


@with_options_of(TrainingConfig)
def train(
    dataset: Dataset,
    to: To,
    split: Annotated[str, typer.Option(help="Split to train and choose on.")] = "strong",
    model: Annotated[
        str | None,
        typer.Option(
            help="Name of a model; `recsys models` lists them. Default: that of --settings; mult-vae where settings "
            "are given; else what a small `recsys compare` recommends."
        ),
    ] = None,
    settings: SettingsFile = None,
    sets: Set = None,
    reference: Annotated[
        bool,
        typer.Option("--reference", help="Exactly as Liang et al. 2018: β rises over all epochs, all are run."),
    ] = False,
    *,
    training: Mapping[str, Any],
    budget: Annotated[
        str, typer.Option(help="Time to compare models in, where neither a model nor settings are given.")
    ] = "2m",
    index: Index = "flat",
    min_recall: MinRecall = 0.99,
    half_life: Annotated[
        float | None, typer.Option(help="Days in which an interaction's weight halves, for popularity.")
    ] = None,
    now: Now = None,
    trending_days: Annotated[
        float,
        typer.Option(help="Length of the window of recent and trending lists; the baseline is four times as long."),
    ] = 7.0,
    session_minutes: Annotated[
        float, typer.Option(help="A session, for what is bought together, ends where nothing follows for so long.")
    ] = 30.0,
    bought: Annotated[
        list[str] | None,
        typer.Option(help="Kind of event that counts for what is bought together, repeatable; all when not given."),
    ] = None,
    history_half_life: Annotated[
        float | None, typer.Option(help="Days in which an event's weight halves, in the histories of users.")
    ] = None,
    register_as: Name = None,
    overwrite: Overwrite = False,
    resume: Resume = False,
    ray: Ray = None,
    workers: Workers = None,
    storage: Storage = None,
) -> None:
    """Train a model on a split; write, track and register its bundle."""
    _check_workers(ray, workers, storage)
    named = chosen(sets, **training)
    base = TrainingConfig().as_published() if reference else None
    spec = None
    if model or settings or reference or named.keys() - OF_A_COMPARISON:
        spec = _specified(model, settings, named, base)  # before the imports: a refusal needs none of them
        _check_reference(spec, reference)

    from pipelines.dataset.directory import DatasetDir
    from pipelines.dataset.splits import load_split
    from pipelines.training.decay import say_what_is_later
    from pipelines.training.train import WRITTEN, check_lists, is_trained_as, take_part, train_bundle
    from recsys_vae.locks import exclusive
    from recsys_vae.training.parallel import join

    opened = DatasetDir.open(dataset)
    output = _output(to, WRITTEN, index, min_recall, register_as or opened.name, overwrite)
    output = replace(output, lists=_list_rules(trending_days, session_minutes, bought))
    decay, aged = _decay(half_life, now), math.inf if history_half_life is None else history_half_life
    if not aged > 0:
        raise ConfigError(f"--history-half-life is a number of days above 0; got {aged:g}.")
    if bought and (absent := check_lists(opened, load_split(opened, split), output.lists)):  # before the work
        print(f"warning: --bought: no event to learn from is of the kind {' or '.join(absent)}", file=sys.stderr)
    if spec is None:
        spec = _recommended(opened, split, named, budget, output)
    address = _address(ray, spec)
    if address:
        spec = _in_leaves(spec, named)
    if not decay.is_none and (note := say_what_is_later(opened, decay)):
        print(f"note: {note}", file=sys.stderr)
    part = partial(take_part, opened, split, spec, output, half_life=aged)
    with join() as group:
        if group.is_first:
            with exclusive(output.path):
                if _is_completed(
                    output, group, lambda made: is_trained_as(made, opened, split, spec, output, decay, aged)
                ):
                    return
                there = _train_on(address, workers, part, spec, output, WRITTEN, storage, resume=resume)
                trained = train_bundle(
                    opened, split, spec, output, resume=resume or there, group=group, decay=decay, half_life=aged,
                    told_afterwards=there,
                )  # fmt: skip
            _tell(trained, output, "validation")
        else:
            part(resume=resume, group=group)


def publish(
    bundle: Annotated[Path, typer.Argument(help="Bundle that `recsys train` wrote.")],
    dataset: Dataset,
    to: To,
    index: Kept = None,
    min_recall: MinRecall = 0.99,
    new_items: Annotated[
        bool, typer.Option("--new-items", help="Also place the items that nobody has touched, by their --item-field.")
    ] = False,
    now: Now = None,
    drop_repeats: DropRepeats = False,
    drop_ranker: DropRanker = False,
    register_as: Name = None,
    overwrite: Overwrite = False,
    resume: Resume = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check, and say what would be done; do nothing.")] = False,
    ray: Ray = None,
    workers: Workers = None,
    storage: Storage = None,
) -> None:
    """Measure a bundle on its test part, retrain its model on all data, write and register the result."""
    _check_workers(ray, workers, storage)
    from pipelines.dataset.directory import DatasetDir
    from pipelines.training.publish import (
        WRITTEN,
        check_publish,
        is_published_from,
        publish_bundle,
        spec_in,
        take_part,
    )
    from recsys_vae.bundles.manifest import read_manifest
    from recsys_vae.locks import exclusive
    from recsys_vae.training.parallel import join

    opened = DatasetDir.open(dataset)
    output = _output(to, WRITTEN, "flat", min_recall, register_as or opened.name, overwrite)
    output = replace(output, index=index or kind_of_index(bundle))
    dropped = {"drop_repeats": drop_repeats, "drop_ranker": drop_ranker}
    if output.path == bundle.expanduser().resolve():
        raise ConfigError("--to is the bundle itself. Name another directory: the measured bundle is kept.")
    if dry_run:
        ready = check_publish(
            bundle,
            opened,
            output,
            resume=resume,
            new_items=new_items,
            now=now,
            drop_repeats=drop_repeats,
            drop_ranker=drop_ranker,
        )
        users = len(ready.split.test.users)
        print(
            f"{ready.bundle.version} would be measured on {users:,} test users, its model trained on all of "
            f"{opened.name}, and {output.path} registered as models:/{output.registered_name}"
        )
        return
    spec = spec_in(read_manifest(bundle))
    address = _address(ray, spec)
    part = partial(take_part, bundle, opened, output, new_items=new_items)
    with join() as group:
        if group.is_first:
            with exclusive(output.path):
                if _is_completed(
                    output,
                    group,
                    lambda made: is_published_from(made, bundle, opened, new_items=new_items, now=now, **dropped),
                ):
                    return
                there = _train_on(address, workers, part, spec, output, WRITTEN, storage, resume=resume)
                trained = publish_bundle(
                    bundle, opened, output, resume=resume or there, group=group, new_items=new_items, now=now,
                    told_afterwards=there, **dropped,
                )  # fmt: skip
            _tell(trained, output, "test, before retraining on all data")
        else:
            part(resume=resume, group=group)


def kind_of_index(bundle: Path) -> str:
    """Which index a bundle has; flat where it has none."""
    from recsys_vae.bundles.manifest import read_manifest

    return str(read_manifest(bundle).index.get("kind", "flat"))


def _specified(
    model: str | None, path: Path | None, named: Mapping[str, Any], base: TrainingConfig | None
) -> "ModelSpec":
    """The model that is named, or that of a settings file; where only settings are given, Mult-VAE."""
    from pipelines.training.model_settings import Settings, read_settings, specify

    file = read_settings(path) if path else Settings(model=model or "mult-vae")
    if model not in (None, file.model):
        raise ConfigError(f"{path} has the settings of {file.model}, --model asks for {model}. Leave one out.")
    return specify(file.model, {**file.settings, **named}, base)


def _recommended(
    dataset: "DatasetDir", split: str, named: Mapping[str, Any], budget: str, output: "Output"
) -> "ModelSpec":
    """What a small comparison recommends; one that was made before of the same data counts."""
    from pipelines.artifacts.workspace import check_replaceable
    from pipelines.commands.compare import check_alone, seconds_of
    from pipelines.selection.compare import Question, compare
    from pipelines.selection.outcome import write_page
    from pipelines.training.model_settings import specify
    from pipelines.training.train import WRITTEN

    check_alone()
    training = specify("mult-vae", named).training
    metric = training.validation_metric if "validation_metric" in named else None
    question = Question(dataset, split, metric, seconds_of(budget), training=training, name=f"train-{split}")
    if not question.folder.exists():
        check_replaceable(output, WRITTEN)  # before the work, not after
    print(f"No model is named: comparing for up to {budget}. `recsys compare` says more.", flush=True)
    compared = compare(question, resume=True, afresh=True)
    write_page(compared)
    for caution in compared.cautions:
        print(f"warning: {caution}", file=sys.stderr)
    print(" ".join(compared.recommendation.reasons()))
    print(f"page      {compared.page_path}")
    spec = specify(compared.settings.model, compared.settings.settings)
    machine = {name: getattr(training, name) for name in OF_A_COMPARISON - {"validation_metric", "seed"}}
    return replace(spec, training=replace(spec.training, **machine))


def _output(to: Path, product: "Product", index: str, min_recall: float, name: str, overwrite: bool) -> "Output":
    from pipelines.training.train import Output
    from recsys_vae.outputs import check_output

    return Output(check_output(to, product), index, min_recall, name, overwrite)


def _list_rules(trending_days: float, session_minutes: float, bought: list[str] | None) -> "ListRules":
    from recsys_vae.bundles.item_lists import BASELINES, LONGEST_DAYS, ListRules

    kinds, longest = tuple(dict.fromkeys(bought or ())), LONGEST_DAYS / BASELINES
    if not 0 < trending_days <= longest:
        raise ConfigError(f"--trending-days is above 0, at most {longest:g}; got {trending_days:g}.")
    if not 0 <= session_minutes <= LONGEST_DAYS * 1440:
        raise ConfigError(f"--session-minutes is from 0 to {LONGEST_DAYS * 1440:.0f}; got {session_minutes:g}.")
    if not all(kinds):
        raise ConfigError("--bought takes a kind of event, as in purchase; got an empty one.")
    return ListRules(trending_days, BASELINES * trending_days, session_minutes=session_minutes, bought=kinds)


def _decay(half_life: float | None, now: datetime | None) -> "Decay":
    from pipelines.training.decay import Decay

    if half_life is None and now is not None:
        raise ConfigError("--now is the moment that ages are counted from, for --half-life: give both or none.")
    return Decay(now=now) if half_life is None else Decay(half_life, now)


def _check_workers(ray: str | None, workers: int | None, storage: str | None) -> None:
    """Raise ConfigError where workers are asked for, or a place of theirs, and there is no cluster that gives any."""
    address = chosen_address(ray)
    if storage is not None and not address:
        raise ConfigError("--storage is what workers of a Ray cluster share: name the cluster with --ray.")
    if workers is not None and not address:
        raise ConfigError(
            "--workers are processes of a Ray cluster: name it with --ray; --ray local is this machine. Without Ray: "
            "torchrun --nproc-per-node N -m pipelines.cli train ... --leaves 4"
        )
    if workers is not None and (workers < 1 or workers & (workers - 1)):
        raise ConfigError(f"--workers is a power of two, such as 1, 2 or 4; got {workers}.")
    if ray and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("--ray starts the processes itself: start the command without torchrun.")


def _address(ray: str | None, spec: "ModelSpec") -> str | None:
    """The cluster to train on; none for a model that is solved in closed form."""
    if spec.is_trained_by_gradient:
        return None if int(os.environ.get("WORLD_SIZE", "1")) > 1 else chosen_address(ray)
    if ray:
        raise ConfigError(f"{spec.name} is solved in closed form, by one process: start it without --ray.")
    return None


def _in_leaves(spec: "ModelSpec", named: Mapping[str, Any]) -> "ModelSpec":
    """The same, batches cut into leaves unless something else was asked for: any number of workers then does."""
    from recsys_vae.training.leaves import LEAVES

    if spec.training.leaves or "leaves" in named:
        return spec
    return replace(spec, training=replace(spec.training, leaves=LEAVES))


def _train_on(
    address: str | None,
    workers: int | None,
    part: "partial[None]",
    spec: "ModelSpec",
    output: "Output",
    product: "Product",
    storage: str | None,
    *,
    resume: bool,
) -> bool:
    """Let workers of a cluster train, where there is one; returns whether there is: then checkpoints hold the rest."""
    if address is None:
        if storage is not None:
            raise ConfigError(f"--storage is for workers that train: {spec.name} is not trained on a cluster here.")
        return False
    from pipelines.artifacts.workspace import check_workspace
    from pipelines.cluster.connection import connected
    from pipelines.training.in_bucket import Bucket
    from pipelines.training.on_cluster import train_there, workers_on

    bucket = None if storage is None else Bucket.of(storage, output)
    check_workspace(output, resume, product)
    output.workspace.mkdir(parents=True, exist_ok=True)
    part = partial(part, resume=True)
    if bucket is not None:
        bucket.prepare(part, output, resume=resume)
    with connected(address, None if bucket else output.workspace) as cluster:
        found = workers_on(cluster, workers, spec.training)
        print(f"training   {found.count} workers of {address}, {found.cpus} processors each", flush=True)
        if bucket is None:
            train_there(found, part, output.workspace)
        else:
            train_there(found, bucket.part_of(part), output.workspace, bucket.root)
            bucket.bring_checkpoints(output)
    return True


def _is_completed(output: "Output", group: "Group", is_asked_for: "Callable[[Manifest], bool]") -> bool:
    """Whether the bundle stood there, and its registration alone was missing; it is registered then."""
    from pipelines.artifacts.registration import complete_registration

    if output.overwrite or group.size > 1 or not output.path.exists():
        return False
    done = complete_registration(output.path, output.registered_name, is_asked_for)
    if done:
        print(f"{output.path} was complete, and is registered now: models:/{done.name}/{done.version}")
    return done is not None


def _check_reference(spec: "ModelSpec", reference: bool) -> None:
    if reference and not spec.is_trained_by_gradient:
        raise ConfigError(f"{spec.name} is solved in closed form: --reference has no effect on it. Leave it out.")


def _tell(trained: "Trained", output: "Output", measured_on: str) -> None:
    from rich.table import Table

    from pipelines.console import output_console
    from recsys_vae.bundles.tier_policy import ENCODED, TierPolicy

    console = output_console()
    console.print(f"{trained.manifest.version} as served, on {measured_on}:", soft_wrap=True)
    table = Table("metric", "value", "s.e.")
    for name, value in trained.evaluation.means.items():
        error = trained.evaluation.standard_errors.get(name, math.nan)
        table.add_row(name, f"{value:.4f}", f"{error:.4f}" if math.isfinite(error) else "unknown")
    console.print(table)
    if TierPolicy.from_settings(trained.manifest.ladder).named.isdisjoint(ENCODED):
        console.print(
            "The model itself answers nobody: on validation what is popular was better at every length of history, and "
            "these are its figures. `recsys evaluate` shows those of the bare model beside them.",
            soft_wrap=True,
        )
    epochs = trained.manifest.provenance.epochs
    console.print(f"bundle      {output.path}" + (f"  ({epochs} epochs)" if epochs else ""), soft_wrap=True)
    console.print(f"registered  models:/{output.registered_name}/{trained.registered_version}  (alias challenger)")
