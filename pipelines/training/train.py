"""Train: a split in, an evaluated bundle out, with a tracked run beside it.

The bundle of `train` has learned from the training part of a split only, so that `recsys evaluate` can measure it
honestly. What goes to production is made from it by `publish`, which retrains on all data.
"""

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from pipelines.artifacts.mlflow_registry import register_bundle
from pipelines.artifacts.registration import log_outcome, registering
from pipelines.artifacts.workspace import check_workspace, clear_workspace, workspace_of
from pipelines.dataset.cold_start_users import cold_start_users_of
from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.item_table import item_table
from pipelines.dataset.order import order_in
from pipelines.dataset.splits import load_split
from pipelines.dataset.user_features import UserMetadata
from pipelines.evaluation.evaluate import measure_served
from pipelines.training.decay import NO_DECAY, Decay
from pipelines.training.fallback_policy import choose_tiers, learn_again
from pipelines.training.fit import Fitted, ModelSpec, check_processes, check_room, fit
from pipelines.training.idle_settings import idle_settings
from pipelines.training.item_inputs import item_metadata_for
from pipelines.training.kept_parts import RemadeParts
from pipelines.training.latent_report import log_latents
from pipelines.training.shelves import check_bought, make_shelves, rules_in
from recsys_vae.bundles.bundle import Bundle, Tiers, write_bundle
from recsys_vae.bundles.item_lists import ListRules
from recsys_vae.bundles.manifest import BUNDLE, Manifest, Provenance, product_of
from recsys_vae.data.interactions import Interactions
from recsys_vae.data.signals import SignalRules, dislikes_fingerprint
from recsys_vae.errors import ConfigError, DataError, RetrievalError
from recsys_vae.evaluation.evaluate import Evaluation
from recsys_vae.evaluation.splits import HeldOut, Split
from recsys_vae.models import catalog
from recsys_vae.protocols import FactorizedRecommender, Float32Array, Scorer, takes_dislikes, takes_order
from recsys_vae.retrieval.index_files import check_index
from recsys_vae.tracking_store import check_model_name
from recsys_vae.training.checkpoint import saved_run_id
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.parallel import ALONE, Group
from recsys_vae.training.tracking import MlflowTracker, git_commit, tracked_run

METRICS = ("recall@20", "recall@50", "ndcg@100")
"""What a manifest reports: the three numbers of Liang et al. 2018."""
WRITTEN = product_of(BUNDLE, "a bundle of `recsys train`", "split:")
"""What training may replace."""


@dataclass(frozen=True)
class Output:
    """Where a bundle goes and how it is indexed.

    Attributes:
        path: the bundle's directory; a folder beside it holds checkpoints while training goes on.
        index: flat, hnsw, ivf, ivfpq or ondisk.
        min_recall: what an approximate index must reach.
        registered_name: name of the registered model at the tracking server.
        overwrite: whether a bundle that stands at `path` may be replaced.
        lists: what lists without a user and neighbours of items are made by.
    """

    path: Path
    index: str = "flat"
    min_recall: float = 0.99
    registered_name: str = "recsys-vae"
    overwrite: bool = False
    lists: ListRules = field(default_factory=ListRules)

    def __post_init__(self) -> None:
        check_index(self.index, self.min_recall)  # before hours of training, not after
        check_model_name(self.registered_name)

    @property
    def workspace(self) -> Path:
        """Folder of the checkpoints."""
        return workspace_of(self.path)

    @property
    def checkpoints(self) -> tuple[Path, Path]:
        """Files of the run that chooses the epoch, and of the one that trains again where the split says so."""
        return self.workspace / "choose.safetensors", self.workspace / "refit.safetensors"


@dataclass(frozen=True)
class Trained:
    """What `train` and `publish` made.

    Attributes:
        manifest: of the bundle.
        evaluation: what was measured.
        registered_version: of the registered model.
        run_id: at the tracking server.
    """

    manifest: Manifest
    evaluation: Evaluation
    registered_version: str
    run_id: str | None


def train_bundle(
    dataset: DatasetDir,
    split_name: str,
    spec: ModelSpec,
    output: Output,
    *,
    resume: bool,
    group: Group = ALONE,
    decay: Decay = NO_DECAY,
    half_life: float = math.inf,
    told_afterwards: bool = False,
) -> Trained:
    """Train on a split, choose the epoch on its validation part, and write and register the bundle.

    Where the split says so (protocol `given`), the model is trained again on training and validation part together, for
    the number of epochs that was chosen.

    Metadata of users go to models that take them; the fallback tiers are chosen on the validation part too.

    Of a group of processes this is for the first; the others call `take_part`.

    Args:
        decay: how interactions lose weight with age, for popularity.
        half_life: days in which an event's weight halves, in the histories that the model learns from and is shown.
        told_afterwards: whether the epochs were taken elsewhere, by workers of a cluster, and the tracker is told of
            them now.

    Raises:
        ConfigError: there is a half-life, and no event has a time; an interrupted run is there, and neither resumed nor
            removed; something else stands at the output; the index has no use; no event is of the kinds that lists
            count; or the model takes more memory than is free, and the message says what would fit.
    """
    check_index_use(spec, output)
    course = _Course.of(dataset, split_name, spec, output, resume=resume, group=group, half_life=half_life)
    spec, split, known = course.spec, course.split, course.known
    resumed = output.checkpoints[0] if resume else None
    if (need := check_room(spec, split.training_part.matrix, group, resumed)) is not None:
        print(need, flush=True)
    for note in idle_settings(spec, split.train.matrix, split.train_dislikes, half_life):
        print(f"note: {note}", file=sys.stderr, flush=True)
    run_id = None if resumed is None else saved_run_id(resumed)
    with tracked_run(dataset.name, spec.name, run_id=run_id) as tracker:
        told = {f"signals.{name}": value for name, value in course.signals.described().items()}
        tracker.log_parameters(parameters(dataset, spec) | {"split": split_name} | told)
        fitted = course.choose_epoch(tracker)
        for epoch, record in enumerate(fitted.history if told_afterwards else (), start=1):
            tracker.log_metrics(record, epoch)
        log_latents(tracker, fitted)
        cold_start_users = cold_start_users_of(split.validation, split.train.items, known)
        metric = spec.training.validation_metric
        aged = replace(decay, before=split.windows.get("validation"))
        chosen = choose_tiers(fitted.model, split.train, known, cold_start_users, metric, decay=aged)
        tiers = chosen.tiers
        counts = split.train.item_counts()
        served = Bundle.unwritten(fitted.model, split.train.items, counts, tiers)
        evaluation = measure_served(served, known.of(split.validation), METRICS)
        learned_from, dislikes, part = split.train, split.train_dislikes, "train"
        if split.refit is not None:
            learned_from, dislikes, part = split.refit, split.refit_dislikes, "refit"
            done = "The best epoch is chosen" if spec.is_trained_by_gradient else "The training part is measured"
            print(f"{done}; training again on the training and the validation part together.", flush=True)
            spec = replace(spec, config=fitted.config)
            fitted = course.use_all(spec, fitted.epochs)
            tiers = learn_again(tiers, learned_from, known, replace(decay, before=split.windows.get("test")))
        provenance = replace(
            origin(dataset, spec, fitted, learned_from, dislikes),
            decay=decay.described,
            trained_on=f"split:{split_name}/{part}",
            training_cutoff=cutoff_of(dataset, split),
            metrics_on=f"split:{split_name}/validation",
        )
        return finish(
            dataset,
            fitted,
            learned_from,
            output,
            evaluation,
            provenance,
            tracker=tracker,
            tiers=tiers,
            signals=course.signals,
        )


def cutoff_of(dataset: DatasetDir, split: Split) -> str | None:
    """Time of the latest event that a bundle of a split learns from, in ISO 8601; None where some have no time."""
    return dataset.latest(before=split.windows.get("validation" if split.refit is None else "test"))


def check_lists(dataset: DatasetDir, split: Split, rules: ListRules) -> tuple[str, ...]:
    """Which kinds that the rules name no event has that a bundle of a split learns from.

    Raises:
        ConfigError: no event has any of them, so that the lists could not be made.
    """
    if not rules.bought:
        return ()
    return check_bought(dataset, split.training_part, rules, cutoff_of(dataset, split))


def asked_while_training(split: Split, known: UserMetadata, spec: ModelSpec) -> HeldOut:
    """Whom the best epoch is chosen on; for a prior from metadata, validation users at several lengths of history."""
    if not (spec.may_take_metadata and known.schema.width):
        return split.validation
    if spec.is_hybrid:
        return known.of(split.validation)
    return cold_start_users_of(split.validation, split.train.items, known).asked_at_all()


def metadata_for(spec: ModelSpec, learned_from: Interactions, known: UserMetadata) -> csr_array | None:
    """Metadata of the users that a model learns from, where it takes any."""
    takes = spec.may_take_metadata and known.schema.width
    return known.rows(learned_from.users.values) if takes else None


def order_for(spec: ModelSpec, dataset: DatasetDir, learned_from: Interactions) -> csr_array | None:
    """Order of what a model learns from, where it goes by it.

    Raises:
        DataError: it does, and the dataset has none.
    """
    if not spec.takes_order:
        return None
    return order_in(dataset, learned_from.matrix, learned_from.users, learned_from.items)


def take_part(
    dataset: DatasetDir,
    split_name: str,
    spec: ModelSpec,
    output: Output,
    *,
    resume: bool,
    group: Group,
    half_life: float = math.inf,
) -> None:
    """What the other processes do while the first one is in `train_bundle`: their share of the training.

    Workers of a cluster do it all together, and write checkpoints; then `train_bundle` goes on from these.
    """
    course = _Course.of(dataset, split_name, spec, output, resume=resume, group=group, half_life=half_life)
    fitted = course.choose_epoch()
    if course.split.refit is not None:
        course.use_all(course.spec, fitted.epochs, by_gradient_alone=True)


@dataclass(frozen=True, eq=False)
class _Course:
    """The fits of a training, the same in every process of a group."""

    spec: ModelSpec
    split: Split
    known: UserMetadata
    item_metadata: csr_array | None
    output: Output
    resume: bool
    group: Group
    signals: SignalRules

    @classmethod
    def of(
        cls,
        dataset: DatasetDir,
        split_name: str,
        spec: ModelSpec,
        output: Output,
        *,
        resume: bool,
        group: Group,
        half_life: float,
    ) -> "_Course":
        """Raises what keeps the training from beginning."""
        check_processes(spec, group)
        signals = replace(dataset.signals(), half_life=half_life)
        split = load_split(dataset, split_name, half_life)
        if spec.takes_order and split.train_order is None:
            raise DataError(
                f"{spec.name} goes by the order of histories, and split {split_name!r} has none. Its dataset needs a "
                "timestamp or a position in its rows; where it has, the split was made before order was kept: make it "
                f"again: recsys split {dataset.name} --protocol {split.protocol} --name {split_name}"
            )
        check_lists(dataset, split, output.lists)
        known = UserMetadata.learn(dataset, split.train.users)
        spec = spec.with_schema(known.schema)
        item_metadata = item_metadata_for(spec, dataset, split.train.items)
        check_workspace(output, resume, WRITTEN)
        return cls(spec, split, known, item_metadata, output, resume, group, signals)

    def choose_epoch(self, tracker: MlflowTracker | None = None) -> Fitted:
        """Fit to the training part, the epoch chosen on the validation part."""
        return fit(
            self.spec,
            self.split.train.matrix,
            validation=asked_while_training(self.split, self.known, self.spec),
            tracker=tracker,
            checkpoint=self.output.checkpoints[0],
            resume=self.resume,
            group=self.group,
            metadata=metadata_for(self.spec, self.split.train, self.known),
            item_metadata=self.item_metadata,
            dislikes=self.split.train_dislikes,
            order=self.split.train_order,
            by_gradient_alone=tracker is None,
        )

    def use_all(self, spec: ModelSpec, epochs: int, *, by_gradient_alone: bool = False) -> Fitted:
        """Fit to training and validation part, for as many epochs as were chosen."""
        learned_from = self.split.training_part
        return fit(
            spec,
            learned_from.matrix,
            checkpoint=self.output.checkpoints[1],
            resume=self.resume,
            epochs=epochs or None,
            group=self.group,
            metadata=metadata_for(spec, learned_from, self.known),
            item_metadata=self.item_metadata,
            dislikes=self.split.training_dislikes,
            order=self.split.refit_order,
            by_gradient_alone=by_gradient_alone,
        )


def parameters(dataset: DatasetDir, spec: ModelSpec) -> dict[str, object]:
    """What a tracked run is told about the choices made."""
    chosen: dict[str, object] = {"model": spec.name, "dataset": dataset.name, "git_commit": git_commit()}
    chosen |= {f"model.{key}": value for key, value in catalog.described(spec.config).items()}
    if spec.is_trained_by_gradient:
        chosen |= {f"training.{key}": value for key, value in asdict(spec.training).items()}
    return chosen


def origin(
    dataset: DatasetDir, spec: ModelSpec, fitted: Fitted, learned_from: Interactions, dislikes: csr_array | None
) -> Provenance:
    """Provenance of a fitted model, but for what it was trained on and how well it did.

    Args:
        dislikes: of these users, whether or not the model takes any; None where no rule says what they are.
    """
    return Provenance(
        dataset=dataset.name,
        dataset_fingerprint=learned_from.fingerprint(),
        n_users=learned_from.n_users,
        n_interactions=int(learned_from.matrix.nnz),
        training=asdict(spec.training) if spec.is_trained_by_gradient else {},
        epochs=fitted.epochs,
        git_commit=git_commit(),
        dislikes_fingerprint=fingerprint_of_dislikes(fitted.model, learned_from, dislikes),
    )


def fingerprint_of_dislikes(model: Scorer, learned_from: Interactions, dislikes: csr_array | None) -> str:
    """Fingerprint of the dislikes that a model learns from; empty where it takes none."""
    if not takes_dislikes(model):
        return ""
    return dislikes_fingerprint(csr_array(learned_from.matrix.shape) if dislikes is None else dislikes)


def finish(
    dataset: DatasetDir,
    fitted: Fitted,
    learned_from: Interactions,
    output: Output,
    evaluation: Evaluation,
    provenance: Provenance,
    *,
    tracker: MlflowTracker,
    tiers: Tiers | None = None,
    signals: SignalRules | None = None,
    kept: RemadeParts | None = None,
) -> Trained:
    """Write the bundle, tell the tracker the outcome, register, and clear the checkpoints away."""
    described = replace(provenance, metrics=with_errors(evaluation), run_id=tracker.run_id)
    manifest = write_fitted(dataset, fitted, learned_from, output, described, tiers, signals, kept)
    with registering(output.path, output.registered_name):
        log_outcome(tracker, manifest.provenance)
        tracker.log_metrics({"training_seconds": fitted.seconds}, fitted.epochs)
        version = register_bundle(tracker, output.path, output.registered_name, manifest=manifest)
    clear_workspace(output.workspace)
    return Trained(manifest, evaluation, version, tracker.run_id)


def write_fitted(
    dataset: DatasetDir,
    fitted: Fitted,
    learned_from: Interactions,
    output: Output,
    provenance: Provenance,
    tiers: Tiers | None = None,
    signals: SignalRules | None = None,
    kept: RemadeParts | None = None,
) -> Manifest:
    """Write the bundle of a fitted model.

    Args:
        kept: of the bundle that it is made of, what stands beside the model.
    """
    tiers = tiers or Tiers()
    made = unwritten(dataset, fitted, learned_from, provenance, tiers, signals, output.lists)
    if kept is not None:
        made = kept.beside(made, dataset)
    queries = None
    if output.index != "flat" and isinstance(fitted.model, FactorizedRecommender):
        queries = _queries(dataset, fitted.model, learned_from)
    try:
        return write_bundle(
            output.path,
            fitted.model,
            learned_from.items,
            popularity=learned_from.item_counts(),
            provenance=made.manifest.provenance,
            item_table=made.item_table,
            index_kind=output.index,
            index_queries=queries,
            min_recall=output.min_recall,
            tiers=tiers,
            shelves=made.shelves,
            repeat=made.repeat,
            ranker=made.ranker,
            ranker_parts=made.ranker_parts,
            signals=signals,
        )
    except RetrievalError as error:
        raise RetrievalError(
            f"{error} The training is kept: --resume with another --index goes on from there."
        ) from error


def unwritten(
    dataset: DatasetDir,
    fitted: Fitted,
    learned_from: Interactions,
    provenance: Provenance,
    tiers: Tiers,
    signals: SignalRules | None,
    rules: ListRules,
) -> Bundle:
    """A fitted model with all that stands beside it in a bundle, and no index."""
    return Bundle.unwritten(
        fitted.model,
        learned_from.items,
        learned_from.item_counts(),
        tiers,
        provenance=provenance,
        item_table=item_table(dataset),
        shelves=make_shelves(dataset, learned_from, tiers.schema, rules, provenance.training_cutoff),
        signals=signals,
    )


def _queries(dataset: DatasetDir, model: FactorizedRecommender, learned_from: Interactions) -> Float32Array:
    """Of some users, on whom an approximate index is measured."""
    histories = learned_from.matrix[:1000]
    if not takes_order(model):
        return model.encode(histories)
    users = learned_from.users.take(np.arange(histories.shape[0]))
    return model.encode(histories, order=order_in(dataset, histories, users, learned_from.items))


def is_trained_as(
    manifest: Manifest,
    dataset: DatasetDir,
    split_name: str,
    spec: ModelSpec,
    output: Output,
    decay: Decay = NO_DECAY,
    half_life: float = math.inf,
) -> bool:
    """Whether a bundle is what `train_bundle` makes of these, of the interactions that the dataset has now.

    What the training chooses itself, the weight of a blend and the columns of metadata, may be anything.
    """
    origin, asked = manifest.provenance, catalog.described(spec.config)
    chosen = {name for name in ("weight", "metadata") if not asked.get(name)}
    chosen |= {name for name in asked if name.endswith((".share", ".epochs")) and not asked[name]}
    training = asdict(spec.training) if spec.is_trained_by_gradient else {}
    made = {name: manifest.settings.get(name) for name in asked}
    return (
        (manifest.model, origin.dataset) == (spec.name, dataset.name)
        and origin.trained_on.startswith(f"split:{split_name}/")
        and manifest.index.get("kind", output.index) == output.index
        and _plain(_with_defaults(origin.training)) == _plain(training)
        and _plain(origin.decay) == _plain(decay.described)
        and rules_in(output.path) == output.lists
        and _plain(manifest.signals) == _plain(replace(dataset.signals(), half_life=half_life).described())
        and all(_plain(made[name]) == _plain(asked[name]) for name in asked.keys() - chosen)
        and origin.dataset_fingerprint == _learned_from(dataset, split_name, half_life).fingerprint()
    )


def _with_defaults(training: Mapping[str, Any]) -> dict[str, Any]:
    """What a manifest tells of a training; settings that came after it are as they were when there were none."""
    return {**asdict(TrainingConfig()), **training} if training else {}


def _learned_from(dataset: DatasetDir, split_name: str, half_life: float) -> Interactions:
    """What the bundle of a split has learned from in the end."""
    return load_split(dataset, split_name, half_life).training_part


def _plain(values: object) -> object:
    """As a manifest keeps it."""
    return json.loads(json.dumps(values))


def with_errors(evaluation: Evaluation) -> dict[str, float]:
    """Means and standard errors by name, the latter ending in `_se`; none of one user, which has no spread."""
    errors = {f"{name}_se": value for name, value in evaluation.standard_errors.items() if math.isfinite(value)}
    return dict(evaluation.means) | errors


def check_index_use(spec: ModelSpec, output: Output) -> None:
    """Raise ConfigError where an approximate index is asked for a model that has no item vectors."""
    if output.index != "flat" and not hasattr(catalog.entry(spec.name).model, "item_vectors"):
        raise ConfigError(f"{spec.name} has no item vectors: --index {output.index} has no effect on it. Leave it out.")
