import math
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from tqdm import tqdm

from recsys_vae.errors import CheckpointError, ConfigError, TrainingError, UnknownNameError
from recsys_vae.images.data.image_set import ImageSet
from recsys_vae.images.models.autoencoder import Autoencoder, AutoencoderConfig
from recsys_vae.images.protocol import ImageModule, Loss
from recsys_vae.images.training.config import ImageTrainingConfig
from recsys_vae.images.training.loop import ImageTrainingResult, mean_loss, train_images
from recsys_vae.training.saver import CheckpointSaver

CONFIG = ImageTrainingConfig(epochs=4, batch_size=8, learning_rate=0.01, device="cpu", learning_rate_decay=0.5)
GREY = ImageSet((torch.arange(20 * 16).reshape(20, 1, 4, 4) % 7 / 6.0), torch.arange(20) % 2)


class Noisy(Autoencoder):
    """Drops pixels in training, counts images in a buffer and says how many: all that a checkpoint has to carry."""

    count: Tensor

    def __init__(self, shape: tuple[int, int, int], config: AutoencoderConfig) -> None:
        super().__init__(shape, config)
        self.register_buffer("count", torch.zeros(()))

    def begin_epoch(self, epoch: int) -> None:
        self.count.zero_().add_(epoch * 1000)

    def loss(self, x: Tensor, y: Tensor | None = None, *, beta: float = 1.0) -> Loss:
        assert y is not None
        if self.training:
            self.count += len(x)
        kept = super().loss(nn.functional.dropout(x, 0.3, self.training), y)
        penalty = self.encode(x).square().sum(dim=1).mean()
        return Loss(kept.total + beta * penalty, kept.reconstruction, penalty)

    def watch(self, x: Tensor, y: Tensor | None = None) -> dict[str, float]:
        return {"count": float(self.count), "watched": float(len(x))}


def fresh(kind: type[Autoencoder] = Noisy, seed: int = 0, likelihood: str = "bernoulli") -> ImageModule:
    torch.manual_seed(seed)
    model: ImageModule = kind((1, 4, 4), AutoencoderConfig(hidden="8", latent=3, likelihood=likelihood))
    return model


def trained(config: ImageTrainingConfig = CONFIG, **options: object) -> tuple[ImageModule, ImageTrainingResult]:
    model = fresh()
    return model, train_images(model, GREY, config, **options)  # type: ignore[arg-type]


def same_weights(one: ImageModule, other: ImageModule) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in one.state_dict().items())


def without_times(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{name: value for name, value in record.items() if name != "images_per_second"} for record in history]


def test_the_loss_falls_and_the_record_says_what_was_measured() -> None:
    _, result = trained(replace(CONFIG, epochs=30), validation=GREY)
    first, last = result.history[0], result.history[-1]
    assert last["validation_reconstruction"] < 0.9 * first["validation_reconstruction"]
    expected = {"loss", "reconstruction", "regularizer", "images_per_second", "kl_weight", "count", "watched"}
    assert expected | {"validation_loss", "validation_reconstruction", "validation_regularizer"} == first.keys()
    assert first["count"] == 20
    assert result.pixels == "static"


def test_two_runs_are_bit_identical_and_another_seed_is_not() -> None:
    one, again = trained()[0], trained()[0]
    other = trained(replace(CONFIG, seed=1))[0]
    assert same_weights(one, again)
    assert not same_weights(one, other)


class Interrupted(Exception):  # noqa: N818
    pass


@pytest.mark.parametrize("pixels", ["static", "dynamic"])
@pytest.mark.parametrize("steps", [1, 3, 7, 11])
def test_a_run_interrupted_at_any_step_resumes_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int, pixels: str
) -> None:
    monkeypatch.setattr(CheckpointSaver, "save_if_due", CheckpointSaver.save)  # after every step
    config, path = replace(CONFIG, pixels=pixels), tmp_path / "run.safetensors"
    whole, expected = trained(config, validation=GREY)
    interrupted, left, add = fresh(), steps, Noisy.loss

    def failing(self: Noisy, x: Tensor, y: Tensor | None = None, *, beta: float = 1.0) -> Loss:
        nonlocal left
        if self.training:
            left -= 1
        if left < 0:
            raise Interrupted
        return add(self, x, y, beta=beta)

    with monkeypatch.context() as patched:
        patched.setattr(Noisy, "loss", failing)
        with pytest.raises(Interrupted):
            train_images(interrupted, GREY, config, validation=GREY, checkpoint=path)
    resumed = fresh(seed=9)
    torch.rand(5)  # where the generator stands does not matter
    result = train_images(resumed, GREY, config, validation=GREY, checkpoint=path, resume=True)
    assert same_weights(resumed, whole)
    assert without_times(result.history) == without_times(expected.history)
    assert (result.epoch, result.validation_loss) == (expected.epoch, expected.validation_loss)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_saves_after_the_step_and_resuming_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, steps, step = tmp_path / "run.safetensors", [], CheckpointSaver.save_if_due

    def press(saver: CheckpointSaver, run: object) -> None:
        steps.append(1)
        if len(steps) == 4:
            os.kill(os.getpid(), signal.SIGINT)
        step(saver, run)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(CheckpointSaver, "save_if_due", press)
        with pytest.raises(KeyboardInterrupt):
            trained(checkpoint=path)
    assert len(steps) == 4
    resumed, _ = trained(checkpoint=path, resume=True)
    assert same_weights(resumed, trained()[0])


def test_a_checkpoint_of_other_settings_or_images_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    trained(checkpoint=path)
    with pytest.raises(CheckpointError, match="other settings"):
        trained(replace(CONFIG, seed=1), checkpoint=path, resume=True)
    with pytest.raises(CheckpointError, match="other settings"):
        train_images(fresh(), GREY.only(slice(10)), CONFIG, checkpoint=path, resume=True)


@pytest.mark.parametrize(("keep_best", "kept"), [(True, 2), (False, 4)])
def test_the_best_or_the_last_weights_are_kept(monkeypatch: pytest.MonkeyPatch, kept: int, *, keep_best: bool) -> None:
    values, seen = iter([3.0, 1.0, 2.0, 4.0]), []

    def measure(model: Noisy, *_: object, **__: object) -> dict[str, float]:
        seen.append(model.encoder[1][0].weight.detach().clone())
        return {"loss": next(values)}

    monkeypatch.setattr("recsys_vae.images.training.loop.mean_loss", measure)
    model, result = trained(replace(CONFIG, keep_best=keep_best), validation=GREY)
    assert (result.epoch, result.validation_loss) == (kept, 1.0)
    assert torch.equal(model.state_dict()["encoder.1.0.weight"], seen[kept - 1])


def test_patience_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    values = iter([1.0, 2.0, 3.0, 0.0])
    monkeypatch.setattr("recsys_vae.images.training.loop.mean_loss", lambda *_, **__: {"loss": next(values)})
    _, result = trained(replace(CONFIG, patience=2), validation=GREY)
    assert (len(result.history), result.epoch) == (3, 1)


def test_the_tracker_hears_of_every_epoch_and_the_bar_shows_the_loss(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recsys_vae.training.progress.tqdm", lambda **options: tqdm(**options | {"mininterval": 0.0}))
    heard: list[tuple[int, float]] = []

    class Notes:
        run_id = "run-1"

        def log_parameters(self, parameters: object) -> None: ...

        def log_metrics(self, metrics: dict[str, float], epoch: int) -> None:
            heard.append((epoch, metrics["kl_weight"]))

    trained(replace(CONFIG, kl_anneal=1.0), tracker=Notes(), progress=True)
    assert heard == [(epoch, pytest.approx((epoch - 1 / 3) / 4)) for epoch in (1, 2, 3, 4)]
    assert "loss=" in capsys.readouterr().err


def test_a_loss_that_is_no_number_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Noisy, "cost", lambda self, outputs, x: outputs.sum() * float("nan"))
    with pytest.raises(TrainingError, match="epoch 1, step 1"):
        trained()


def test_static_pixels_stay_and_dynamic_ones_change() -> None:
    seen: dict[str, list[Tensor]] = {}

    class Looking(Noisy):
        def loss(self, x: Tensor, y: Tensor | None = None, *, beta: float = 1.0) -> Loss:
            seen[pixels].append(x.sum(dim=0))
            return super().loss(x, y, beta=beta)

    for pixels in ("static", "dynamic", "grayscale"):
        seen[pixels] = []
        train_images(fresh(Looking), GREY, replace(CONFIG, epochs=2, batch_size=20, pixels=pixels))
    assert torch.equal(*seen["static"])
    assert not torch.equal(*seen["dynamic"])
    assert set(seen["static"][0].unique().tolist()) <= set(range(21))
    assert seen["grayscale"][0].sum() == pytest.approx(float(GREY.x.sum()))


def test_a_loss_over_a_set_is_that_of_its_images_and_leaves_the_noise_alone() -> None:
    model, before = fresh(Autoencoder, likelihood="gaussian"), torch.get_rng_state()
    with torch.no_grad():
        expected = float(model.loss(GREY.x).total)
    measured = mean_loss(model, GREY)
    assert measured["loss"] == pytest.approx(expected)
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training


def test_gradients_are_clipped_to_the_norm_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    norms: list[float] = []
    step = torch.optim.AdamW.step

    def noting(self: torch.optim.AdamW, *arguments: object) -> object:
        gradients = [p.grad for group in self.param_groups for p in group["params"]]
        norms.append(float(torch.stack([g.square().sum() for g in gradients]).sum().sqrt()))
        return step(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.optim.AdamW, "step", noting)
    trained(replace(CONFIG, gradient_clip=0.01))
    assert max(norms) == pytest.approx(0.01, rel=1e-3)


def test_rates_rise_and_fall_over_the_planned_steps() -> None:
    config = replace(CONFIG, learning_rate_rise=0.25)
    rates = [config.learning_rate_at(progress) for progress in (0.0, 0.125, 0.25, 0.5, 0.75, 1.0)]
    assert rates == pytest.approx([0.0, 0.005, 0.01, 0.01, 0.005, 0.0])
    assert math.isclose(replace(CONFIG, kl_anneal=0.5, kl_cycles=2).kl_weight_at(0.125), 0.5)


@pytest.mark.parametrize(
    "setting", [{"epochs": 0}, {"learning_rate": 0.0}, {"kl_anneal": 2.0}, {"kl_weight": -1.0}, {"precision": "half"}]
)
def test_settings_out_of_range_are_refused(setting: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        replace(CONFIG, **setting)


def test_unknown_pixels_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="static"):
        replace(CONFIG, pixels="binary")
