"""The training loop: one visible function from interactions to trained weights."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import csr_array
from tqdm import tqdm

from recsys_vae.data.histories import check_histories
from recsys_vae.data.sequences import chronological
from recsys_vae.data.signals import liked
from recsys_vae.errors import CheckpointError, ConfigError, DataError
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.models.autoencoder import Autoencoder
from recsys_vae.models.hybrid import fold_content, take_content
from recsys_vae.models.trainable import Trainable
from recsys_vae.models.variational import Variational
from recsys_vae.models.weighting import options_of
from recsys_vae.nn.objective import Likelihood, Objective
from recsys_vae.nn.sampled_softmax import SampledSoftmax
from recsys_vae.nn.schedules import falling
from recsys_vae.protocols import Float32Array, takes_order
from recsys_vae.training.activity import measure_activity, sample_histories
from recsys_vae.training.batches import Batches, Replay
from recsys_vae.training.checkpoint import Run, RunState
from recsys_vae.training.config import ROWWISE_ADAM, TrainingConfig
from recsys_vae.training.device import choose_precision, keep_freed_memory
from recsys_vae.training.interrupt import Interrupt
from recsys_vae.training.item_shards import ItemShards
from recsys_vae.training.lazy_adam import LazyAdam
from recsys_vae.training.leaves import Leaves, check_leaves, growing
from recsys_vae.training.likelihood import choose_likelihood, learn_by_rows, suits_rows
from recsys_vae.training.parallel import ALONE, Group
from recsys_vae.training.progress import progress_bar
from recsys_vae.training.rowwise_adam import RowwiseAdam
from recsys_vae.training.saver import CheckpointSaver
from recsys_vae.training.sharded_run import ShardedRun, take_finished
from recsys_vae.training.sharded_steps import ShardedSteps
from recsys_vae.training.steps import LeafSteps, Steps, TrainingRun, WholeSteps
from recsys_vae.training.tracking import NoTracker, PausedError, Tracker


@dataclass(frozen=True)
class TrainingResult:
    """What came of a run; the model that was passed in holds the best weights.

    Attributes:
        best_epoch: number of epochs after which the validation value was best; the last one without validation.
        best_value: that value; NaN without validation.
        history: one record an epoch: loss, nll, kl, kl_weight, users_per_second, the validation metric, and for
            variational models a summary of their activity.
        seconds: training time, over all the processes that the run took.
        latent_kl: nats by epoch and latent dimension, see `activity.Activity`, shape (epochs, d); (0, 0) without any.
    """

    best_epoch: int
    best_value: float
    history: list[dict[str, float]]
    seconds: float
    latent_kl: Float32Array = field(compare=False)


def train(
    model: Trainable,
    interactions: csr_array,
    config: TrainingConfig,
    *,
    validation: HeldOut | None = None,
    tracker: Tracker | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    stop_after: int | None = None,
    progress: bool = False,
    group: Group = ALONE,
    metadata: csr_array | None = None,
    item_metadata: csr_array | None = None,
    order: csr_array | None = None,
    started_from: str = "",
    replay: Replay | None = None,
) -> TrainingResult:
    """Train a model in place.

    In a group of processes each calls this with the same arguments, and comes back with the same weights; the first one
    alone tracks, writes checkpoints and shows progress.

    Args:
        model: on the CPU, with fresh weights or those of a parent; afterwards there again, with the best ones.
        interactions: weighed as the model says, most often binarised; signed where it takes dislikes; shape (n_users,
            n_items).
        config: how.
        validation: users on whom the best epoch is chosen; without them the last epoch is taken.
        tracker: is told the metrics of each epoch; it may pause the run (`PausedError`), alone, not in a group, and not
            one whose item tables are shared out.
        checkpoint: file that the run is saved to as it goes, and when it is complete; the caller removes it.
        resume: continue from `checkpoint` where it exists; a complete run gives its result again.
        stop_after: run this many of the planned epochs only; schedules still run on all of them, so that training again
            on more data for a chosen number of epochs follows the same path.
        progress: show a progress bar on standard error.
        group: processes that train together (see `parallel`).
        metadata: what else is known of the users, shape (n_users, n_features), for models that take it.
        item_metadata: what else is known of the items, shape (n_items, n_features), for hybrid encoders.
        order: of the interactions, for models that go by it; see `data.sequences`.
        started_from: identity of the weights where they are not fresh: a checkpoint of another start is refused.
        replay: whom an epoch has; everybody when None.

    Raises:
        ConfigError: the device does not exist.
        TrainingError: the loss became infinite or NaN, or another process of the group has ended.
        DataError: nobody has a history, the interactions are none or signed for a model that takes no dislikes,
            metadata are of another catalogue, or the model goes by an order that is not there.
        CheckpointError: the checkpoint belongs to another run.
        KeyboardInterrupt, Terminated: Ctrl-C, SIGTERM; the run was saved after the step that was under way.
    """
    tracker = tracker if tracker and group.is_first else NoTracker()
    check_leaves(config.leaves, group)
    device = group.device(config.device)
    precision = choose_precision(config.precision, device)
    keep_freed_memory()
    interactions = _checked(model, interactions, order)
    batches = Batches(
        interactions, config.batch_size, config.seed, device, group, metadata, replay, examples=model.examples
    )
    if not batches.n_users:
        raise DataError("No user to train on has a history: there is nothing to learn.")
    identity = _identity(model, interactions, config, stop_after, (metadata, item_metadata), started_from)
    state = RunState(identity, tracker.run_id)
    if resume and config.shard_items and (found := _finished(checkpoint, model, state)):
        group.wait()  # the first one may go on and remove the files
        return found
    if item_metadata is not None:
        take_content(model, item_metadata, interactions.shape[1], device)
    run = _prepare(model.to(device), config, state, group, checkpoint)
    _begin_together(run, checkpoint if resume else None)
    likelihood = choose_likelihood(config, liked(interactions), device, run.generator)
    if isinstance(likelihood, SampledSoftmax) or suits_rows(model, interactions, config.batch_size):
        learn_by_rows(model)
    saver = CheckpointSaver(checkpoint, config.checkpoint_seconds, interrupt := Interrupt())
    last_epoch = min(config.epochs, stop_after or config.epochs)
    watched = sample_histories(interactions, config.seed)
    with (
        growing(config.leaves, config.seed, group, device) as leaves,
        interrupt,
        progress_bar(run.state, len(batches), last_epoch, shown=progress and group.is_first) as bar,
    ):
        steps = _steps_of(run, batches, precision, leaves)
        while run.state.epoch < last_epoch and not run.state.is_out_of_patience(config.patience):
            record = _train_epoch(run, steps, len(batches), config, likelihood, saver=saver, bar=bar)
            if validation is not None:
                value = steps.validate(validation, config.validation_metric)
                record[config.validation_metric] = value
                run.keep_best(value)
            if isinstance(model, Variational):
                activity = measure_activity(model, watched, run.sums_of(watched))
                record |= activity.summary()
                run.latent_kl.append(torch.from_numpy(activity.kl))
            run.state.history.append(record)
            try:
                tracker.log_metrics(record, run.state.epoch)
            except PausedError:
                break
        bar.set_postfix_str(_outcome(run.state, last_epoch, config.validation_metric))
    run.complete(checkpoint)
    model.to("cpu")
    fold_content(model)
    return _result(run.state, run.latent_kl)


def _checked(model: Trainable, interactions: csr_array, order: csr_array | None) -> csr_array:
    check_histories(interactions, model.n_items, signed=model.is_signed)
    return chronological(interactions, order) if takes_order(model) else interactions


def _prepare(
    model: Trainable, config: TrainingConfig, state: RunState, group: Group, checkpoint: Path | None
) -> TrainingRun:
    optimizer = LazyAdam(model.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    if config.shard_items:
        assert isinstance(model, Autoencoder)
        shards = ItemShards(model, group)
        if config.table_optimizer == ROWWISE_ADAM:
            optimizer = RowwiseAdam(model.parameters(), config.learning_rate, seed=config.seed, part=shards.part)
        return ShardedRun(model, optimizer, None, state, group, shards=shards, path=_place(checkpoint))
    generator = None if config.leaves else torch.Generator(model.device).manual_seed(group.seed(config.seed))
    return Run(model, optimizer, generator, state, group)


def _place(checkpoint: Path | None) -> Path:
    if checkpoint is None:
        raise ConfigError("shard_items keeps the best weights in files: say where checkpoints are to be written.")
    return checkpoint


def _finished(checkpoint: Path | None, model: Trainable, state: RunState) -> TrainingResult | None:
    """The result of a complete run whose item tables were shared out, its weights in the model; None without one."""
    if checkpoint is None or not checkpoint.exists():
        return None
    assert isinstance(model, Autoencoder)
    found = take_finished(checkpoint, model, state)
    return None if found is None else _result(*found)


def _steps_of(run: TrainingRun, batches: Batches, precision: torch.dtype, leaves: Leaves | None) -> Steps:
    if leaves is None:
        return WholeSteps(run, batches, precision)
    if isinstance(run, ShardedRun):
        return ShardedSteps(run, batches, precision, leaves, run.shards)
    return LeafSteps(run, batches, precision, leaves)


def _begin_together(run: TrainingRun, checkpoint: Path | None) -> None:
    """Let every process stand where the first one stands, or a checkpoint where there is one.

    Raises:
        CheckpointError: they found different checkpoints.
    """
    if checkpoint is not None and checkpoint.exists():
        run.restore(checkpoint)
    places = run.group.gather(torch.tensor([run.state.epoch, run.state.step]))
    if (places != places[0]).any():
        raise CheckpointError(
            "The processes found different checkpoints. Put the bundle's folder on a disk that all of them share."
        )
    run.group.share_weights(run.in_common())


def _train_epoch(
    run: TrainingRun,
    steps: Steps,
    n_batches: int,
    config: TrainingConfig,
    likelihood: Likelihood,
    *,
    saver: CheckpointSaver,
    bar: tqdm,
) -> dict[str, float]:
    """Take the steps of one epoch that are not done yet; returns its record."""
    state, model = run.state, run.model

    def progress_at(done: int) -> float:
        return (state.epoch * n_batches + done) / (config.epochs * n_batches)

    model.begin_epoch(state.epoch)
    for step in steps.epoch():
        started = time.perf_counter()
        progress = progress_at(state.step)
        kl_weight = config.kl_weight_at(progress)
        run.optimizer.param_groups[0]["lr"] = falling(
            progress, start=config.learning_rate, over=config.learning_rate_decay
        )
        loss, nll, kl = step.learn(Objective(kl_weight, None, config.free_bits, likelihood))
        state.add_step(step.n_users, loss, nll, kl, time.perf_counter() - started)
        bar.set_postfix(_figures(run, kl_weight, config.validation_metric), refresh=False)
        bar.update()
        saver.save_if_due(run)
    run.optimizer.catch_up()
    last = config.kl_weight_at(progress_at(n_batches - 1))
    return state.close_epoch() | {"kl_weight": last}


def _figures(run: TrainingRun, kl_weight: float, metric: str) -> dict[str, str]:
    state, means = run.state, run.state.means()
    figures = {"epoch": str(state.epoch + 1), "loss": f"{means['loss']:.1f}"}
    if isinstance(run.model, Variational):
        figures |= {"KL": f"{means['kl']:.1f}", "β": f"{kl_weight:.2f}"}
    figures["users/s"] = f"{means['users_per_second']:.0f}"
    return figures | ({f"best {metric}": f"{state.best_value:.4f} @{state.best_epoch}"} if state.best_epoch else {})


def _outcome(state: RunState, last_epoch: int, metric: str) -> str:
    """Why it ended, and whether more epochs might have helped."""
    if not state.best_epoch:
        return f"{state.epoch} epochs"
    best = f"best {metric} {state.best_value:.4f} after epoch {state.best_epoch}"
    if state.epoch < last_epoch:
        return f"stopped after {state.epoch} of {last_epoch} epochs without progress, {best}"
    return f"{best}, the last: more epochs may help" if state.best_epoch == last_epoch else best


def _identity(
    model: Trainable,
    interactions: csr_array,
    config: TrainingConfig,
    stop_after: int | None,
    metadata: tuple[csr_array | None, csr_array | None],
    started_from: str,
) -> str:
    """Fingerprint of all that decides the outcome; how often checkpoints are taken does not."""
    decisive = replace(config, checkpoint_seconds=0.0)
    digest = sha256(repr((type(model).__name__, model.config, decisive, stop_after, interactions.shape)).encode())
    digest.update(started_from.encode())
    given = [matrix for matrix in metadata if matrix is not None]
    if not options_of(model.config).is_plain:
        digest.update(np.ascontiguousarray(interactions.data, dtype="<f4").data)
    for matrix in (interactions, *given):
        digest.update(np.ascontiguousarray(matrix.indptr, dtype="<i8").data)
        digest.update(np.ascontiguousarray(matrix.indices, dtype="<i4").data)
    for matrix in given:
        digest.update(np.ascontiguousarray(matrix.data, dtype="<f4").data)
    return digest.hexdigest()


def _result(state: RunState, latent_kl: Sequence[torch.Tensor]) -> TrainingResult:
    best = (state.best_epoch, state.best_value) if state.best_epoch else (state.epoch, float("nan"))
    stacked = torch.stack(list(latent_kl)) if latent_kl else torch.empty(0, 0)
    return TrainingResult(*best, state.history, state.seconds, stacked.numpy())
