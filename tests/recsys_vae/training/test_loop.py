import json
import math
import signal
import subprocess
import textwrap
import time
from dataclasses import replace
from functools import cache
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from scipy.sparse import csr_array
from tqdm import tqdm

from recsys_vae.errors import CheckpointError, ConfigError, DataError, TrainingError
from recsys_vae.models import catalog
from recsys_vae.models.mult_dae import MultDAE, MultDAEConfig
from recsys_vae.models.mult_vae import MultVAE, MultVAEConfig
from recsys_vae.models.trainable import Trainable
from recsys_vae.native import adam
from recsys_vae.termination import Terminated
from recsys_vae.training import loop
from recsys_vae.training.batches import Batches
from recsys_vae.training.checkpoint import saved_run_id
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.interrupt import Interrupt
from recsys_vae.training.likelihood import suits_rows
from recsys_vae.training.loop import TrainingResult, train
from recsys_vae.training.saver import CheckpointSaver
from recsys_vae.training.tracking import PausedError
from tests.prepared import waiting
from tests.recsys_vae.training.held_out import held_out
from tests.worlds import SMALL, by_row, csr, two_tastes

CONFIG = TrainingConfig(
    epochs=6, batch_size=8, learning_rate=0.01, checkpoint_seconds=0.0, device="cpu", precision="float32"
)
WORLD = two_tastes()


def fresh(seed: int = 0) -> MultVAE:
    torch.manual_seed(seed)
    return MultVAE(12, MultVAEConfig(hidden=16, latent=4))


class Notes:
    run_id = "run-1"

    def __init__(self) -> None:
        self.metrics: list[dict[str, float]] = []

    def log_parameters(self, parameters: object) -> None: ...

    def log_metrics(self, metrics: dict[str, float], epoch: int) -> None:
        self.metrics.append({**metrics, "epoch": epoch})


def test_learns_which_half_of_the_catalogue_a_user_likes() -> None:
    model = fresh()
    result = train(model, WORLD.matrix, replace(CONFIG, epochs=60), validation=held_out())
    best = model.score(held_out().histories).argsort(axis=1)[:, -6:]
    assert ((best >= 6) == (np.arange(40) % 2)[:, None]).mean() > 0.95
    assert result.history[-1]["nll"] < result.history[0]["nll"]


def test_two_runs_are_bit_identical_and_another_seed_is_not() -> None:
    weights = []
    for seed in (1, 1, 2):
        model = fresh()
        train(model, WORLD.matrix, replace(CONFIG, seed=seed))
        weights.append(model.tensors()["output.weight"])
    assert (weights[0] == weights[1]).all()
    assert (weights[0] != weights[2]).any()


def test_the_tracker_hears_of_every_epoch() -> None:
    notes = Notes()
    train(fresh(), WORLD.matrix, CONFIG, validation=held_out(), tracker=notes)
    assert [note["epoch"] for note in notes.metrics] == [1, 2, 3, 4, 5, 6]
    assert {"loss", "nll", "kl", "kl_weight", "users_per_second", "ndcg@100"} <= notes.metrics[0].keys()


def test_the_kl_weight_rises_over_the_planned_steps_in_reference_mode() -> None:
    result = train(fresh(), WORLD.matrix, CONFIG.as_published())
    weights = [record["kl_weight"] for record in result.history]
    assert weights == sorted(weights)
    assert weights[-1] == pytest.approx(0.2 * 29 / 30)  # the last of 30 steps begins with 29 done


def test_the_best_epoch_is_kept_and_patience_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    values = iter([0.1, 0.5, 0.3, 0.2, 0.9])
    seen: list[torch.Tensor] = []

    class Means:
        def __init__(self) -> None:
            self.means = {"ndcg@100": next(values)}

    def evaluate(model: MultVAE, *_: object) -> Means:
        seen.append(model.output.weight.detach().clone())
        return Means()

    monkeypatch.setattr("recsys_vae.training.steps.evaluate", evaluate)
    model = fresh()
    result = train(model, WORLD.matrix, replace(CONFIG, patience=2), validation=held_out())
    assert (result.best_epoch, result.best_value, len(result.history)) == (2, 0.5, 4)
    assert torch.equal(model.output.weight, seen[1])


def test_stopping_after_some_of_the_planned_epochs_follows_the_same_path() -> None:
    whole = train(fresh(), WORLD.matrix, CONFIG)
    part = train(fresh(), WORLD.matrix, CONFIG, stop_after=3)
    assert [r["loss"] for r in part.history] == [r["loss"] for r in whole.history[:3]]


class Interrupted(Exception):  # noqa: N818
    pass


@cache
def undisturbed(name: str, config: object, by_rows: bool) -> tuple[Trainable, TrainingResult]:
    """A run that nobody interrupts, by rows or not as the test has set it."""
    torch.manual_seed(0)
    whole = catalog.create(name, 12, config)
    assert isinstance(whole, Trainable)
    return whole, train(whole, WORLD.matrix, CONFIG, validation=held_out(), order=by_row(WORLD.matrix))


MIDDLE_OF_A_DECODER_PASS = 17
"""Of RecVAE, whose fourth pass of five steps trains the decoder."""


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        *(("mult-vae", steps) for steps in (1, 10, 29)),
        pytest.param("mult-vae", 7, marks=pytest.mark.slow),
        *(("rec-vae", steps) for steps in (7, MIDDLE_OF_A_DECODER_PASS)),
        *(pytest.param("rec-vae", steps, marks=pytest.mark.slow) for steps in (15, 20)),
        ("h-vamp", 7),
        ("sasrec", 7),
        ("svae", 7),
    ],
)
@pytest.mark.parametrize("by_rows", [False, True])
def test_a_run_interrupted_at_any_step_resumes_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, steps: int, *, by_rows: bool
) -> None:
    monkeypatch.setattr(loop, "suits_rows", lambda *_: by_rows)
    monkeypatch.setattr(CheckpointSaver, "save_if_due", CheckpointSaver.save)  # after every step
    kind, config = catalog.entry(name).model, SMALL[name]
    if name in ("sasrec", "svae"):
        config = replace(config, dropout=0.2)  # so that there is noise to go on with
    given = {"validation": held_out(), "order": by_row(WORLD.matrix)}
    whole, expected = undisturbed(name, config, by_rows)

    class Failing(kind):  # type: ignore[valid-type, misc]
        left = steps

        def loss(self, *arguments: object, **options: object):  # type: ignore[no-untyped-def]
            if not self.left:
                raise Interrupted
            self.left -= 1
            return super().loss(*arguments, **options)  # type: ignore[arg-type]

    torch.manual_seed(0)
    interrupted = Failing(12, config)
    checkpoint = tmp_path / "run.safetensors"
    Failing.__name__ = kind.__name__
    with pytest.raises(Interrupted):
        train(interrupted, WORLD.matrix, CONFIG, **given, checkpoint=checkpoint)
    torch.manual_seed(9)
    resumed = kind(12, config)
    result = train(resumed, WORLD.matrix, CONFIG, **given, checkpoint=checkpoint, resume=True)
    assert result.best_epoch == expected.best_epoch
    for ours, theirs in zip(result.history, expected.history, strict=True):
        assert {**ours, "users_per_second": 0} == {**theirs, "users_per_second": 0}
    assert (result.latent_kl == expected.latent_kl).all()
    for tensor, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[tensor], value), tensor


def test_a_killed_process_resumes_bit_for_bit(tmp_path: Path) -> None:
    """SIGKILL while the process trains and saves; what it left is continued here."""
    checkpoint, ready = tmp_path / "run.safetensors", tmp_path / "saves"
    script = textwrap.dedent(f"""
        import time
        from pathlib import Path
        from recsys_vae.training import loop, saver as saving
        from tests.recsys_vae.training.test_loop import CONFIG, WORLD, fresh, replace
        save, save_if_due = saving.save_checkpoint, saving.CheckpointSaver.save_if_due
        def counting(path, run):
            save(path, run)
            with Path({str(ready)!r}).open("a") as file:
                file.write("x")
        def slowly(saver, run):
            save_if_due(saver, run)
            time.sleep(0.01)  # leaves time to be killed in
        saving.save_checkpoint, saving.CheckpointSaver.save_if_due = counting, slowly
        config = replace(CONFIG, epochs=2000)
        loop.train(fresh(), WORLD.matrix, config, checkpoint=Path({str(checkpoint)!r}), stop_after=100)
        """)
    process = subprocess.Popen(waiting().script(script), cwd=Path(__file__).parents[3])
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (ready.exists() and len(ready.read_text()) > 5):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    config = replace(CONFIG, epochs=2000)
    with pytest.raises(CheckpointError, match="other settings"):
        train(fresh(), WORLD.matrix, config, checkpoint=checkpoint, resume=True, stop_after=30)
    state = load_file(checkpoint)  # whole, whenever the signal came
    assert "model.output.weight" in state
    whole, resumed = fresh(), fresh(seed=5)
    options = {"stop_after": 100}
    quick = replace(config, checkpoint_seconds=1e9)  # how often a run is saved does not change what it is
    expected = train(whole, WORLD.matrix, quick, **options)  # type: ignore[arg-type]
    result = train(resumed, WORLD.matrix, quick, checkpoint=checkpoint, resume=True, **options)  # type: ignore[arg-type]
    assert [r["loss"] for r in result.history] == [r["loss"] for r in expected.history]
    assert (resumed.tensors()["output.weight"] == whole.tensors()["output.weight"]).all()
    assert not list(tmp_path.glob(".*.partial"))


@pytest.mark.usefixtures("ctrl_c", "sigterm")
@pytest.mark.parametrize(("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_a_signal_saves_the_step_under_way_and_a_second_one_does_not_wait(
    tmp_path: Path, number: signal.Signals, raised: type[BaseException]
) -> None:
    before = signal.getsignal(number)
    whole, resumed = fresh(), fresh(seed=4)
    expected = train(whole, WORLD.matrix, CONFIG)

    class Stopping(MultVAE):
        left = 8

        def loss(self, *arguments: object, **options: object):  # type: ignore[no-untyped-def]
            self.left -= 1
            if not self.left:
                signal.raise_signal(number)
            return super().loss(*arguments, **options)  # type: ignore[arg-type]

    Stopping.__name__ = "MultVAE"
    torch.manual_seed(0)
    stopping = Stopping(12, MultVAEConfig(hidden=16, latent=4))
    rarely = replace(CONFIG, checkpoint_seconds=1e9)
    with pytest.raises(raised):
        train(stopping, WORLD.matrix, rarely, checkpoint=tmp_path / "run")
    assert stopping.left == 0  # the eighth step was taken
    result = train(resumed, WORLD.matrix, rarely, checkpoint=tmp_path / "run", resume=True)
    assert [r["loss"] for r in result.history] == [r["loss"] for r in expected.history]
    assert signal.getsignal(number) is before
    with Interrupt():
        signal.raise_signal(number)
        with pytest.raises(raised):
            signal.raise_signal(number)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_stays_ignored_in_the_background() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Interrupt() as interrupt:
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)
        assert not interrupt.is_asked_for
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_a_complete_run_gives_its_result_again(tmp_path: Path) -> None:
    checkpoint = tmp_path / "run.safetensors"
    first = train(fresh(), WORLD.matrix, CONFIG, checkpoint=checkpoint)
    again = train(fresh(), WORLD.matrix, CONFIG, checkpoint=checkpoint, resume=True)
    assert again == first or (math.isnan(again.best_value) and again.history == first.history)


class PausesAfter(Notes):
    """Has seen enough after two epochs."""

    def log_metrics(self, metrics: dict[str, float], epoch: int) -> None:
        if epoch == 2:
            raise PausedError


def test_a_paused_run_gives_what_was_best_so_far_and_goes_on_bit_for_bit(tmp_path: Path) -> None:
    model, whole, checkpoint = fresh(), fresh(), tmp_path / "run.safetensors"
    paused = train(model, WORLD.matrix, CONFIG, validation=held_out(), tracker=PausesAfter(), checkpoint=checkpoint)
    assert len(paused.history) == 2
    assert paused.best_value == max(record["ndcg@100"] for record in paused.history)
    again = train(model, WORLD.matrix, CONFIG, validation=held_out(), checkpoint=checkpoint, resume=True)
    straight = train(whole, WORLD.matrix, CONFIG, validation=held_out())
    assert [record["loss"] for record in again.history] == [record["loss"] for record in straight.history]
    assert all(np.array_equal(tensor, model.tensors()[name]) for name, tensor in whole.tensors().items())


def test_checkpoints_of_other_runs_and_broken_ones_are_refused(tmp_path: Path) -> None:
    checkpoint = tmp_path / "run.safetensors"
    train(fresh(), WORLD.matrix, CONFIG, checkpoint=checkpoint)
    for config in (replace(CONFIG, seed=7), replace(CONFIG, learning_rate=0.5)):
        with pytest.raises(CheckpointError, match="other settings"):
            train(fresh(), WORLD.matrix, config, checkpoint=checkpoint, resume=True)
    with pytest.raises(CheckpointError, match="other settings"):
        train(fresh(), two_tastes(seed=1).matrix, CONFIG, checkpoint=checkpoint, resume=True)
    with safe_open(checkpoint, "pt") as file:
        state = json.loads(file.metadata()["state"])
    for words in ({"state": json.dumps(state | {"momentum": 0.9})}, {"state": "{}"}, {}):
        save_file(load_file(checkpoint), checkpoint, {"format": "2"} | words)
        with pytest.raises(CheckpointError, match="words of this version"):
            train(fresh(), WORLD.matrix, CONFIG, checkpoint=checkpoint, resume=True)
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="cannot be read"):
        train(fresh(), WORLD.matrix, CONFIG, checkpoint=checkpoint, resume=True)
    save_file({"x": torch.zeros(1)}, checkpoint)
    with pytest.raises(CheckpointError, match="format None"):
        train(fresh(), WORLD.matrix, CONFIG, checkpoint=checkpoint, resume=True)


def test_a_flipped_byte_anywhere_in_a_checkpoint_is_refused(tmp_path: Path) -> None:
    checkpoint = tmp_path / "run.safetensors"
    train(fresh(), WORLD.matrix, CONFIG, checkpoint=checkpoint)
    whole = checkpoint.read_bytes()
    header = int.from_bytes(whole[:8], "little")
    rng = np.random.default_rng(0)
    for place in (*rng.integers(0, header + 8, 60), *rng.integers(header + 8, len(whole), 20)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        checkpoint.write_bytes(damaged)
        with pytest.raises(CheckpointError):
            saved_run_id(checkpoint)


def test_a_checkpoint_of_a_version_without_checksums_is_continued(tmp_path: Path) -> None:
    checkpoint = tmp_path / "run.safetensors"
    first = train(fresh(), WORLD.matrix, CONFIG, checkpoint=checkpoint)
    with safe_open(checkpoint, "pt") as file:
        told = {name: file.metadata()[name] for name in ("format", "state")}
    save_file(load_file(checkpoint), checkpoint, told)
    assert train(fresh(), WORLD.matrix, CONFIG, checkpoint=checkpoint, resume=True).history == first.history


def test_a_model_without_a_divergence_trains_too() -> None:
    result = train(MultDAE(12, MultDAEConfig(8)), WORLD.matrix, CONFIG)
    assert result.history[-1]["kl"] == 0
    assert "active_units" not in result.history[-1]
    assert result.latent_kl.shape == (0, 0)


@pytest.mark.parametrize(("name", "shown"), [("mult-vae", True), ("mult-dae", False)])
def test_the_progress_bar_shows_kl_where_there_is_one(
    name: str, shown: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recsys_vae.training.progress.tqdm", lambda **options: tqdm(**options | {"mininterval": 0.0}))
    model = catalog.create(name, 12, SMALL[name])
    assert isinstance(model, Trainable)
    train(model, WORLD.matrix, CONFIG, progress=True)
    bar = capsys.readouterr().err
    assert "loss=" in bar
    assert ("KL=" in bar, "β=" in bar) == (shown, shown)


@pytest.mark.parametrize("name", ["mult-vae", "rec-vae"])
def test_moving_the_rows_that_a_step_reads_alone_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def trained() -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        model = catalog.create(name, 12, SMALL[name])
        assert isinstance(model, Trainable)
        train(model, WORLD.matrix, replace(CONFIG, learning_rate=1e-3))
        return model.state_dict()

    expected = trained()
    monkeypatch.setattr(loop, "suits_rows", lambda *_: True)  # as for a catalogue of which a step reads little
    torch.testing.assert_close(trained(), expected, rtol=0.0, atol=1e-5)


def test_rows_are_moved_alone_where_a_step_reads_few_of_them() -> None:
    model, few = MultVAE(500, MultVAEConfig(hidden=8, latent=2)), csr([[number] for number in range(100)], 500)
    is_compiled = adam.suits(model.encoder_in.weight)
    assert suits_rows(model, few, batch_size=50) == is_compiled
    assert not suits_rows(model, few, batch_size=500)


def test_users_without_a_history_are_passed_over() -> None:
    matrix = csr_array(WORLD.matrix.copy())
    padded = csr_array((matrix.data, matrix.indices, np.r_[matrix.indptr, [matrix.nnz] * 5]), shape=(45, 12))
    assert Batches(padded, 8, 0, torch.device("cpu")).n_users == 40
    with pytest.raises(DataError, match="No user"):
        train(fresh(), csr_array((3, 12), dtype=np.float32), CONFIG)


def test_every_user_comes_once_an_epoch_in_an_order_of_its_own() -> None:
    batches = Batches(WORLD.matrix, 7, 3, torch.device("cpu"))
    first, second = ([batch.rows.indices.tolist() for batch in batches.epoch(number)] for number in (0, 1))
    assert len(first) == len(batches) == 6
    assert sorted(chain(*first)) == sorted(chain(*second)) == sorted(WORLD.matrix.indices.tolist())
    assert first != second
    assert [batch.rows.indices.tolist() for batch in batches.epoch(0, start=4)] == first[4:]


def test_a_diverging_run_says_so() -> None:
    with pytest.raises(TrainingError, match="learning_rate"):
        train(fresh(), WORLD.matrix, replace(CONFIG, learning_rate=1e30, epochs=50))


@pytest.mark.parametrize(
    "settings",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"kl_anneal": 2.0},
        {"precision": "int8"},
        {"patience": -1},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        TrainingConfig(**settings)  # type: ignore[arg-type]


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="cuda:77"):
        train(fresh(), WORLD.matrix, replace(CONFIG, device="cuda:77"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_gpu_run_comes_within_tolerance_of_the_cpu() -> None:
    on_cpu, on_gpu = fresh(), fresh()
    still = replace(CONFIG, precision="float32", epochs=3)
    expected = train(on_cpu, WORLD.matrix, still)
    result = train(on_gpu, WORLD.matrix, replace(still, device="cuda"))
    assert result.history[-1]["nll"] == pytest.approx(expected.history[-1]["nll"], rel=0.05)
