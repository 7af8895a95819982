from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from recsys_vae.errors import CheckpointError, ConfigError, DataError
from recsys_vae.models import catalog
from recsys_vae.models.blend import Blend
from recsys_vae.models.mult_vae import MultVAE, MultVAEConfig
from recsys_vae.models.trainable import Trainable
from recsys_vae.training.batches import Batches
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.fit import ModelSpec, fit
from recsys_vae.training.warm_start import WarmStart, WarmStartConfig, kl_weight_after
from tests.recsys_vae.training.held_out import held_out
from tests.worlds import SMALL, by_row, csr, scores, two_tastes, untrained

CONFIG = TrainingConfig(
    epochs=20, batch_size=8, learning_rate=0.01, checkpoint_seconds=0.0, device="cpu", precision="float32"
)
OLD = two_tastes(n_users=30)
NEW = two_tastes(n_users=40)
HAS_NEWS = np.arange(40) >= 30
TRAINABLE = [name for name, entry in catalog.CATALOG.items() if issubclass(entry.model, Trainable | Blend)]


def spec_of(name: str = "mult-vae") -> ModelSpec:
    return ModelSpec(name, SMALL[name], CONFIG)


def from_parent(name: str = "mult-vae", **options: object) -> WarmStart:
    parent = fit(spec_of(name), OLD.matrix, epochs=5, order=by_row(OLD.matrix))
    few = WarmStartConfig(epochs=4)
    given = {"rows": np.arange(12), "has_news": HAS_NEWS, "epochs_before": parent.epochs, "config": few} | options
    return WarmStart(parent.model, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", TRAINABLE)
def test_every_model_that_learns_by_gradient_goes_on(name: str) -> None:
    start = from_parent(name)
    going_on = fit(spec_of(name), NEW.matrix, warm_start=start, order=by_row(NEW.matrix))
    assert going_on.epochs == 4 * start.learner.epochs_a_round
    assert np.isfinite(scores(going_on.model, csr([[0], []], 12))).all()
    before = start.learner.tensors()
    learner = going_on.model.autoencoder if isinstance(going_on.model, Blend) else going_on.model
    assert any((before[tensor] != value).any() for tensor, value in learner.tensors().items())


def test_the_linear_part_of_a_blend_is_that_of_a_fresh_fit() -> None:
    updated, fresh = (
        fit(spec_of("blend"), NEW.matrix, warm_start=from_parent("blend")),
        fit(spec_of("blend"), NEW.matrix),
    )
    assert isinstance(updated.model, Blend)
    assert isinstance(fresh.model, Blend)
    for name, value in fresh.model.linear.tensors().items():
        assert (updated.model.linear.tensors()[name] == value).all()


def test_beta_stays_where_the_parent_ended_and_the_learning_rate_is_lower() -> None:
    start = from_parent(epochs_before=1)
    going_on = fit(spec_of(), NEW.matrix, warm_start=start)
    expected = CONFIG.kl_weight_at(1 / 20)
    assert 0 < expected < CONFIG.kl_weight
    assert [record["kl_weight"] for record in going_on.history] == pytest.approx([expected] * 4)
    assert start.training(CONFIG).learning_rate == pytest.approx(0.005)


def test_what_was_trained_with_small_tables_goes_on_with_whole_ones() -> None:
    small = replace(
        CONFIG,
        likelihood="sampled",
        leaves=1,
        shard_items=True,
        table_optimizer="rowwise_adam",
        table_precision="bfloat16",
    )
    found = from_parent().training(small)
    assert (found.shard_items, found.table_optimizer, found.table_precision) == (False, "adam", "float32")


@pytest.mark.parametrize(
    ("cycles", "epochs", "share"), [(1, 0, 1), (1, 2, 0.5), (1, 20, 1), (1, 30, 1), (2, 10, 1), (2, 20, 1)]
)
def test_beta_after_some_epochs(cycles: int, epochs: int, share: float) -> None:
    training = replace(CONFIG, kl_anneal=0.2, kl_cycles=cycles)
    assert kl_weight_after(training, epochs) == pytest.approx(share * CONFIG.kl_weight, abs=1e-6)


def test_everybody_with_news_is_in_every_epoch_and_another_sample_of_the_others() -> None:
    replay = from_parent(config=WarmStartConfig(replay=0.5)).replay
    batches = Batches(NEW.matrix, 8, 1, torch.device("cpu"), replay=replay)
    assert (batches.n_users, len(batches)) == (25, 4)
    histories = {tuple(row.indices.tolist()): user for user, row in enumerate(NEW.matrix)}

    def users(epoch: int) -> set[int]:
        rows = [batch.rows for batch in batches.epoch(epoch)]
        found = [histories[tuple(part.tolist())] for row in rows for part in np.split(row.indices, row.offsets[1:-1])]
        assert len(found) == 25
        return set(found)

    distinct = {histories[tuple(NEW.matrix[[user]].indices.tolist())] for user in range(30, 40)}
    assert users(0) >= distinct
    assert users(1) >= distinct
    assert users(0) != users(1)


def test_two_updates_are_bit_identical() -> None:
    found = [fit(spec_of(), NEW.matrix, warm_start=from_parent()).model.tensors() for _ in range(2)]
    assert all((found[0][name] == value).all() for name, value in found[1].items())


def test_an_update_is_better_for_new_tastes_than_its_parent() -> None:
    """Users of a third taste, for items that did not exist."""
    old, third = two_tastes(n_users=60), [[12, 13, 14, 15], [12, 13, 15, 16], [13, 14, 16, 17], [12, 14, 15, 17]] * 5
    grown = csr([*(row.tolist() for row in np.split(old.matrix.indices, 60)), *third], 18)
    training = replace(CONFIG, epochs=40, batch_size=20, patience=0)
    spec = ModelSpec("mult-vae", MultVAEConfig(hidden=32, latent=8), training)
    parent = fit(spec, old.matrix)
    start = WarmStart(
        parent.model,
        rows=np.array([*range(12), *[-1] * 6]),
        has_news=np.arange(80) >= 60,
        epochs_before=40,
        config=WarmStartConfig(epochs=30, learning_rate=1.0),
    )
    model = fit(spec, grown, warm_start=start).model
    scores = model.score(csr([[12, 13], [0, 1]], 18))
    assert scores[0].argsort()[-6:].min() >= 12
    assert scores[1].argsort()[-6:].max() < 6


def test_early_stopping_and_metadata_are_those_of_the_users_trained_on() -> None:
    metadata = csr([[user % 2, 2] for user in range(40)], 5)
    start = from_parent("conditional-vae", config=WarmStartConfig(epochs=3))
    going_on = fit(spec_of("conditional-vae"), NEW.matrix, validation=held_out(), metadata=metadata, warm_start=start)
    assert 1 <= going_on.epochs <= 3
    assert "ndcg@100" in going_on.history[0]


def test_a_checkpoint_of_another_parent_is_refused(tmp_path: Path) -> None:
    file, start = tmp_path / "run", from_parent()
    first = fit(spec_of(), NEW.matrix, warm_start=start, checkpoint=file)
    again = fit(spec_of(), NEW.matrix, warm_start=start, checkpoint=file, resume=True)
    assert first.history == again.history
    with pytest.raises(CheckpointError, match="belongs to"):
        fit(spec_of(), NEW.matrix, warm_start=from_parent(rows=np.arange(12)[::-1]), checkpoint=file, resume=True)


def test_what_cannot_go_on_is_refused() -> None:
    start = from_parent()
    with pytest.raises(ConfigError, match="closed form"):
        fit(spec_of("ease"), NEW.matrix, warm_start=start)
    with pytest.raises(ConfigError, match="one configuration"):
        fit(ModelSpec("mult-vae", MultVAEConfig(hidden=8), CONFIG), NEW.matrix, warm_start=start)
    with pytest.raises(ConfigError, match="closed form"):
        _ = replace(start, parent=untrained("ease", 12)).learner
    with pytest.raises(DataError, match="has news"):
        fit(spec_of(), OLD.matrix, warm_start=start)
    for wrong in ({"epochs": 0}, {"replay": 1.5}, {"learning_rate": 0.0}, {"patience": -1}, {"neighbours": 0}):
        with pytest.raises(ConfigError, match="warm start"):
            WarmStartConfig(**wrong)


def test_a_parent_keeps_its_weights() -> None:
    start = from_parent()
    assert isinstance(start.parent, MultVAE)
    before = start.parent.tensors()["output.weight"].copy()
    fit(spec_of(), NEW.matrix, warm_start=start)
    assert (start.parent.tensors()["output.weight"] == before).all()
