"""The training loop of the image models: one visible function from images to trained weights."""

import time
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from recsys_vae.images.data.image_set import Examples, ImageSet
from recsys_vae.images.data.pixels import prepared, seen
from recsys_vae.images.protocol import Learner
from recsys_vae.images.training.config import ImageTrainingConfig
from recsys_vae.images.training.loss import batch_of, device_of, grey_is_meant, mean_loss, watched
from recsys_vae.training.checkpoint import Run, RunState, restore_checkpoint
from recsys_vae.training.device import choose_device, choose_precision, keep_freed_memory
from recsys_vae.training.interrupt import Interrupt
from recsys_vae.training.progress import progress_bar
from recsys_vae.training.saver import CheckpointSaver
from recsys_vae.training.tracking import NoTracker, Tracker

_Run: TypeAlias = Run[Learner, torch.optim.AdamW]


class ImageRunState(RunState):
    """Where a run stands; its `best_value` is the negative of the lowest validation loss."""

    def means(self) -> dict[str, float]:
        """Loss, reconstruction and regularizer in nats an image over the running epoch, and images a second."""
        means = super().means()
        return {
            "loss": means["loss"],
            "reconstruction": means["nll"],
            "regularizer": means["kl"],
            "images_per_second": means["users_per_second"],
        }


@dataclass(frozen=True)
class ImageTrainingResult:
    """What came of a run; the model that was passed in holds the weights that were kept.

    Attributes:
        epoch: number of epochs after which these weights stood.
        validation_loss: lowest validation loss in nats an image; NaN without validation.
        history: one record an epoch: loss, reconstruction, regularizer, kl_weight, images_per_second, the first three
            on validation (`validation_loss` ...), and what the model says of itself.
        seconds: training time, over all the processes that the run took.
        pixels: static, dynamic or grayscale: what the model has seen.
    """

    epoch: int
    validation_loss: float
    history: list[dict[str, float]]
    seconds: float
    pixels: str


def train_images(
    model: Learner,
    images: Examples,
    config: ImageTrainingConfig,
    *,
    validation: Examples | None = None,
    tracker: Tracker | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    progress: bool = False,
) -> ImageTrainingResult:
    """Train an image model in place. Seeds torch's default generators, from which all noise is drawn.

    A model may have `begin_epoch(epoch)`, called before each pass over the images, from 0 (what it sets is to be in
    the model's buffers: a pass that is resumed halfway is not begun again), and `watch(x, y)`, asked after each for
    figures of its own on at most 2,000 images, of the validation part where there is one.

    Args:
        model: on the CPU, with fresh weights; afterwards there again, with those that were kept.
        images: to learn from; their labels go to the model as well.
        config: how.
        validation: on which the loss is measured after each epoch, with the same noise each time and the regularizer at
            its final weight.
        tracker: is told the record of each epoch.
        checkpoint: file that the run is saved to as it goes, and when it is complete; the caller removes it.
        resume: continue from `checkpoint` where it exists; a complete run gives its result again.
        progress: show a progress bar on standard error.

    Raises:
        ConfigError: the device does not exist.
        DataError: images of another shape than the model's, or labels that it cannot use.
        TrainingError: the loss became infinite or NaN.
        CheckpointError: the checkpoint belongs to another run.
        KeyboardInterrupt, Terminated: Ctrl-C, SIGTERM; the run was saved after the step that was under way.
    """
    tracker = tracker or NoTracker()
    pixels = config.pixels_for(getattr(model.config, "likelihood", None))
    keep_freed_memory()
    run = _prepare(model, images, config, tracker)
    if resume and checkpoint is not None and checkpoint.exists():
        restore_checkpoint(checkpoint, run)
    images = _prepared(images, pixels)
    validation = None if validation is None else _prepared(validation, pixels)
    saver = CheckpointSaver(checkpoint, config.checkpoint_seconds, interrupt := Interrupt())
    n_batches = -(-len(images) // config.batch_size)
    with interrupt, grey_is_meant(pixels), progress_bar(run.state, n_batches, config.epochs, shown=progress) as bar:
        while run.state.epoch < config.epochs and not run.state.is_out_of_patience(config.patience):
            record = _train_epoch(run, images, config, pixels, saver=saver, bar=bar)
            if validation is not None:
                measured = mean_loss(model, validation, pixels=pixels, beta=config.kl_weight)
                record |= {f"validation_{name}": value for name, value in measured.items()}
                run.keep_best(-measured["loss"])
            record |= watched(model, images if validation is None else validation, pixels)
            run.state.history.append(record)
            tracker.log_metrics(record, run.state.epoch)
        bar.set_postfix_str(_outcome(run.state, config))
    saver.save(run)
    if run.best and config.keep_best:
        model.load_state_dict(run.best)
    model.to(torch.device("cpu")).eval()
    return _result(run, config, pixels)


def _prepare(model: Learner, images: Examples, config: ImageTrainingConfig, tracker: Tracker) -> _Run:
    device = choose_device(config.device)
    torch.manual_seed(config.seed)
    state = ImageRunState(_identity(model, images, config), tracker.run_id)
    model.to(device)
    fused = device.type in ("cpu", "cuda")
    optimizer = torch.optim.AdamW(
        model.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=fused
    )
    return Run(model, optimizer, _default_generator(device), state)


def _train_epoch(
    run: _Run, images: Examples, config: ImageTrainingConfig, pixels: str, *, saver: CheckpointSaver, bar: tqdm
) -> dict[str, float]:
    """Take the steps of one epoch that are not done yet; returns its record."""
    state, model, device = run.state, run.model, device_of(run.model)
    order = np.random.default_rng([config.seed, state.epoch]).permutation(len(images))
    batches = torch.from_numpy(order).split(config.batch_size)  # type: ignore[no-untyped-call]
    kl_weight = config.kl_weight_at((state.epoch + 1 - 1 / len(batches)) / config.epochs)
    precision = choose_precision(config.precision, device)
    model.train()
    if state.step == 0 and (begin := getattr(model, "begin_epoch", None)):
        begin(state.epoch)
    for rows in batches[state.step :]:
        started = time.perf_counter()
        progress = (state.epoch * len(batches) + state.step) / (config.epochs * len(batches))
        run.optimizer.param_groups[0]["lr"] = config.learning_rate_at(progress)
        x, y = batch_of(images, rows, device)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == torch.bfloat16):
            loss = model.loss(seen(x, pixels), y, beta=config.kl_weight_at(progress))
        run.optimizer.zero_grad()
        loss.total.backward()  # type: ignore[no-untyped-call]
        if config.gradient_clip:
            nn.utils.clip_grad_norm_(model.parameters(), config.gradient_clip)
        run.optimizer.step()
        total, reconstruction, regularizer = (p.item() for p in (loss.total, loss.reconstruction, loss.regularizer))
        state.add_step(len(x), total, reconstruction, regularizer, time.perf_counter() - started)
        bar.set_postfix(_figures(state), refresh=False)
        bar.update()
        saver.save_if_due(run)
    return state.close_epoch() | {"kl_weight": kl_weight}


def _prepared(images: Examples, pixels: str) -> Examples:
    return prepared(images, pixels) if isinstance(images, ImageSet) else images


def _default_generator(device: torch.device) -> torch.Generator:
    """The generator that noise on a device is drawn from where none is named."""
    if device.type == "cuda":
        torch.cuda.init()  # type: ignore[no-untyped-call]
        index = torch.cuda.current_device() if device.index is None else device.index
        return torch.cuda.default_generators[index]
    if device.type == "mps":
        return torch.mps._get_default_mps_generator()
    return torch.default_generator


def _figures(state: RunState) -> dict[str, str]:
    means = state.means()
    figures = {"epoch": str(state.epoch + 1), "loss": f"{means['loss']:.1f}"}
    if means["regularizer"]:
        figures["regularizer"] = f"{means['regularizer']:.1f}"
    if state.best_epoch:
        figures["best"] = f"{-state.best_value:.1f} @{state.best_epoch}"
    return figures | {"images/s": f"{means['images_per_second']:.0f}"}


def _outcome(state: RunState, config: ImageTrainingConfig) -> str:
    """Why it ended, and whether more epochs might have helped."""
    if not state.best_epoch:
        return f"{state.epoch} epochs"
    best = f"lowest validation loss {-state.best_value:.2f} after epoch {state.best_epoch}"
    if state.epoch < config.epochs:
        return f"stopped after {state.epoch} of {config.epochs} epochs without progress, {best}"
    return f"{best}, the last: more epochs may help" if state.best_epoch == config.epochs else best


def _identity(model: Learner, images: Examples, config: ImageTrainingConfig) -> str:
    """Fingerprint of all that decides the outcome but the first weights; how often checkpoints are taken does not."""
    decisive = asdict(replace(config, checkpoint_seconds=0.0))
    told = (type(model).__name__, model.config, tuple(model.shape), decisive, images.fingerprint())
    return sha256(repr(told).encode()).hexdigest()


def _result(run: _Run, config: ImageTrainingConfig, pixels: str) -> ImageTrainingResult:
    state = run.state
    kept = state.best_epoch if run.best and config.keep_best else state.epoch
    lowest = -state.best_value if state.best_epoch else float("nan")
    return ImageTrainingResult(kept, lowest, state.history, state.seconds, pixels)
