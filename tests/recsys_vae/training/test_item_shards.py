"""Item tables shared out among processes: real ones, whose work stands in `in_shards`, and one that holds them all."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.sparse import csr_array
from torch import Tensor

from recsys_vae.errors import CheckpointError, ConfigError, DataError
from recsys_vae.models.configs.elsa import ELSAConfig
from recsys_vae.models.configs.mult_dae import MultDAEConfig
from recsys_vae.models.configs.mult_vae import MultVAEConfig
from recsys_vae.nn import item_parts
from recsys_vae.nn.item_parts import ItemPart, item_tables_of
from recsys_vae.nn.sparse_layers import SparseLinear, output_layer
from recsys_vae.protocols import Int64Array
from recsys_vae.top_k import top_k
from recsys_vae.training import item_shards, sharded_steps
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.fit import fit
from recsys_vae.training.item_shards import ItemShards
from recsys_vae.training.parallel import ALONE, Group
from recsys_vae.training.spec import ModelSpec
from tests.prepared import Prepared
from tests.recsys_vae.training.in_shards import (
    CONFIG,
    SMALL_TABLES,
    every_run,
    fresh,
    held_out,
    log,
    outcome,
    run,
    stopped,
)
from tests.recsys_vae.training.processes import run_together

SMALL = MultVAEConfig(hidden=16, latent=4)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_shards, "BLOCK", 16)
    monkeypatch.setattr(sharded_steps, "USERS_AT_ONCE", 9)
    monkeypatch.setattr(item_parts, "DRAWN_AT_ONCE", 100)


@pytest.mark.parametrize("processes", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_processes_come_to_the_bits_of_one_that_holds_all_rows(
    processes: int, tmp_path: Path, prepared: Prepared
) -> None:
    together = tmp_path / "together"
    together.mkdir()
    ended = run_together(prepared, processes, "tests.recsys_vae.training.in_shards", together)
    assert [status for status, _ in ended] == [0] * processes, ended
    alone = every_run(ALONE, tmp_path)
    undisturbed = dict(alone)
    for name, value in undisturbed.items():
        for who in ("together", "alone"):  # go on where others were stopped
            if name.startswith("mult-vae.float32."):
                alone[name.replace("mult-vae.float32", who)] = value
            if name.startswith("small."):
                alone[name.replace("small", f"small.{who}")] = value
    for rank in range(processes):
        found = load_file(together / str(rank))
        assert found.keys() == alone.keys()
        assert [name for name, value in alone.items() if not torch.equal(found[name], value)] == []


@pytest.mark.parametrize("kind", ["mult-vae", "mult-dae"])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_shared_out_tables_come_to_the_bits_of_whole_ones(kind: str, precision: str, tmp_path: Path) -> None:
    config = replace(CONFIG, precision=precision)
    whole, parts = fresh(kind, ALONE, whole=True), fresh(kind, ALONE)
    expected = outcome(whole, run(whole, tmp_path / "whole", config=replace(config, shard_items=False)))
    found = outcome(parts, run(parts, tmp_path / "parts.safetensors", config=config))
    assert [name for name, value in expected.items() if not torch.equal(found[name], value)] == []


def test_where_items_are_no_multiple_of_16_the_last_biases_round_otherwise(tmp_path: Path) -> None:
    whole, parts = (fresh("mult-vae", ALONE, whole=whole, n_items=53) for whole in (True, False))
    expected = outcome(whole, run(whole, tmp_path / "whole", config=replace(CONFIG, shard_items=False), n_items=53))
    for name, value in outcome(parts, run(parts, tmp_path / "parts.safetensors", n_items=53)).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-6)


def test_parts_of_tables_are_drawn_as_the_whole_is() -> None:
    def made(part: ItemPart | None) -> tuple[list[Tensor], float]:
        torch.manual_seed(3)
        with item_tables_of(part):
            first, last = SparseLinear(53, 7), output_layer(5, 53)
        return [first.weight.data, first.bias.data, last.weight.data, last.bias.data], float(torch.rand(()))

    (first, first_bias, last, last_bias), drawn_next = made(None)
    for size in (1, 2, 4):
        for part in (ItemPart(rank, size) for rank in range(size)):
            found, after = made(part)
            assert after == drawn_next
            assert torch.equal(found[0], part.of(first))
            assert torch.equal(found[1], first_bias)
            assert torch.equal(found[2], part.of(last))
            n = part.length(53)
            assert torch.equal(found[3][:n], part.of(last_bias))
            assert not len(found[3]) % 16
            assert not found[3][n:].any()


def test_lists_are_those_of_all_scores() -> None:
    model = fresh("mult-vae", ALONE)
    rng = np.random.default_rng(1)
    weight, hidden = (torch.from_numpy(rng.integers(-2, 3, (n, 16)).astype(np.float32)) for n in (48, 300))
    model.output.weight.data, model.output.bias.data = weight, torch.zeros(48)  # type: ignore[union-attr]
    excluded = csr_array((rng.random((300, 48)) < 0.3).astype(np.float32))
    excluded = csr_array(np.where(np.arange(300)[:, None] < 3, 1.0, excluded.toarray()).astype(np.float32))
    shards = ItemShards(model, ALONE)  # type: ignore[arg-type]

    def expected(k: int) -> Int64Array:
        return top_k((hidden @ weight.T).numpy(), k, excluded=excluded).rows

    for k in (1, 20, 48):
        assert np.array_equal(shards.ranked([hidden], [excluded], k)[0], expected(k))
    model.output.weight.data[40] = float("nan")  # type: ignore[union-attr]
    with pytest.raises(DataError, match="diverged"):
        shards.ranked([hidden], [excluded], 3)


def test_a_complete_run_is_its_weights_on_disk(tmp_path: Path) -> None:
    place, spec = tmp_path / "run.safetensors", ModelSpec("mult-vae", SMALL, CONFIG)
    matrix = log()
    first = fit(spec, matrix, validation=held_out(matrix), checkpoint=place)
    assert {path.name for path in tmp_path.iterdir()} == {"run.safetensors", "run.weights.safetensors"}
    again = fit(spec, matrix, validation=held_out(matrix), checkpoint=place, resume=True)
    assert (again.epochs, again.history) == (first.epochs, first.history)
    assert np.array_equal(again.latent_kl, first.latent_kl)
    for name, value in first.model.tensors().items():
        assert np.array_equal(again.model.tensors()[name], value)
    assert np.array_equal(again.model.score(matrix[:3]), first.model.score(matrix[:3]))  # type: ignore[attr-defined]
    with pytest.raises(CheckpointError, match="other settings"):
        fit(ModelSpec("mult-vae", SMALL, replace(CONFIG, seed=1)), matrix, checkpoint=place, resume=True)
    weights = tmp_path / "run.weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    with pytest.raises(CheckpointError, match="damaged"):
        fit(spec, matrix, validation=held_out(matrix), checkpoint=place, resume=True)


def test_without_validation_the_last_epoch_counts(tmp_path: Path) -> None:
    matrix, spec = log(), ModelSpec("mult-vae", SMALL, CONFIG)
    found = fit(spec, matrix, checkpoint=tmp_path / "run.safetensors", epochs=2)
    whole = fit(replace(spec, training=replace(CONFIG, shard_items=False)), matrix, epochs=2)
    assert found.epochs == whole.epochs == 2
    for name, value in whole.model.tensors().items():
        assert np.array_equal(found.model.tensors()[name], value)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4])


@pytest.mark.parametrize(("harm", "says"), [(_cut, "damaged"), (Path.unlink, "cannot be read")])
@pytest.mark.parametrize("which", ["*.1-*.part-0-of-1.*", "*.best-1.part-0-of-1.*"])
def test_a_part_that_is_damaged_or_lost_is_refused(
    harm: Callable[[Path], None], says: str, which: str, tmp_path: Path
) -> None:
    stopped(tmp_path / "run.safetensors", ALONE)
    (part,) = tmp_path.glob(which)
    harm(part)
    with pytest.raises(CheckpointError, match=says):
        run(fresh("mult-vae", ALONE), tmp_path / "run.safetensors")


@pytest.mark.parametrize(
    ("name", "config", "says"),
    [
        ("elsa", ELSAConfig(), "those of mult-dae, mult-vae can"),
        ("mult-dae", MultDAEConfig(), "l2=0.01"),
        ("mult-dae", MultDAEConfig(l2=0.0, dislikes=0.5), "dislikes=0.5"),
        ("mult-vae", MultVAEConfig(dislikes=1), "dislikes=1"),
        ("mult-vae", MultVAEConfig(item_metadata=True), "item_metadata"),
    ],
)
def test_models_that_look_at_all_rows_are_refused(name: str, config: object, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        ModelSpec(name, config, CONFIG)


def test_small_tables_are_kept_on_disk_as_they_were(tmp_path: Path) -> None:
    place = tmp_path / "run.safetensors"
    stopped(place, ALONE, SMALL_TABLES)
    gone_on, undisturbed = (fresh("mult-vae", ALONE, config=SMALL_TABLES) for _ in range(2))
    found = outcome(gone_on, run(gone_on, place, config=SMALL_TABLES))
    expected = outcome(undisturbed, run(undisturbed, tmp_path / "undisturbed.safetensors", config=SMALL_TABLES))
    assert [name for name, value in expected.items() if not torch.equal(found[name], value)] == []
    weight = found["output.weight"]
    assert weight.dtype == torch.float32
    assert torch.equal(weight, weight.bfloat16().float())


def test_small_tables_learn_about_as_much() -> None:
    def best(config: TrainingConfig) -> float:
        with TemporaryDirectory() as folder:
            model = fresh("mult-vae", ALONE, config=config)
            return max(
                record["ndcg@5"] for record in run(model, Path(folder) / "run.safetensors", config=config).history
            )

    begun = replace(CONFIG, epochs=1, learning_rate=1e-6)
    usual, small = best(replace(CONFIG, epochs=8)), best(replace(SMALL_TABLES, epochs=8))
    assert small > (best(begun) + usual) / 2


def test_settings_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    for settings, says in (
        ({"table_optimizer": "sgd"}, "adam or rowwise_adam"),
        ({"table_precision": "float16"}, "float32 or bfloat16"),
        ({"table_precision": "bfloat16"}, "table_optimizer=rowwise_adam"),
        ({"table_optimizer": "rowwise_adam", "shard_items": False}, "shard_items=true leaves=1"),
        ({"table_optimizer": "rowwise_adam", "weight_decay": 0.1}, "weight_decay out"),
    ):
        with pytest.raises(ConfigError, match=says):
            replace(CONFIG, **settings)
    with pytest.raises(ConfigError, match="leaves=4"):
        TrainingConfig(shard_items=True)
    with pytest.raises(ConfigError, match="likelihood=exact"):
        replace(CONFIG, likelihood="exact")
    with pytest.raises(ConfigError, match="Write mrr@100"):
        ModelSpec("mult-vae", SMALL, replace(CONFIG, validation_metric="mrr"))
    with pytest.raises(ConfigError, match="300,000"):
        run(fresh("mult-vae", ALONE), tmp_path / "run.safetensors", config=replace(CONFIG, likelihood="auto"))
    with pytest.raises(ConfigError, match="checkpoints"):
        fit(ModelSpec("mult-vae", SMALL, CONFIG), log())
    with pytest.raises(DataError, match="item_tables_of"):
        ItemShards(fresh("mult-vae", ALONE, whole=True), Group(0, 2))  # type: ignore[arg-type]
