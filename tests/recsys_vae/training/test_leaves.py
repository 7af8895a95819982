"""One, two and four processes, and what comes of their work; real ones, whose work stands in `in_leaves`."""

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from recsys_vae.errors import ConfigError
from recsys_vae.models.rec_vae import RecVAE
from recsys_vae.nn.sampled_softmax import SampledSoftmax
from recsys_vae.nn.sparse_layers import SparseRows
from recsys_vae.training.batches import Batches
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.lazy_adam import LazyAdam
from recsys_vae.training.leaves import check_leaves, growing
from recsys_vae.training.loop import train
from recsys_vae.training.parallel import ALONE, Group
from tests.prepared import Prepared
from tests.recsys_vae.training.held_out import held_out
from tests.recsys_vae.training.in_leaves import CONFIG, WORLD, every_model, one_run
from tests.recsys_vae.training.processes import run_together
from tests.recsys_vae.training.together import still
from tests.worlds import SMALL

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def alone() -> dict[str, Tensor]:
    return every_model(ALONE)


@pytest.mark.parametrize("processes", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_processes_come_to_the_bits_of_one(
    processes: int, alone: dict[str, Tensor], tmp_path: Path, prepared: Prepared
) -> None:
    ended = run_together(prepared, processes, "tests.recsys_vae.training.in_leaves", "every_model", tmp_path)
    assert [status for status, _ in ended] == [0] * processes, ended
    for rank in range(processes):
        found = load_file(tmp_path / str(rank))
        assert found.keys() == alone.keys()
        assert [name for name, value in alone.items() if not torch.equal(found[name], value)] == []


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_threads_come_to_the_bits_of_one(alone: dict[str, Tensor]) -> None:
    found = every_model(ALONE)
    assert torch.get_num_threads() == 2
    assert [name for name, value in alone.items() if not torch.equal(found[name], value)] == []


def test_a_run_of_two_whose_second_is_killed_is_finished_by_one(tmp_path: Path, prepared: Prepared) -> None:
    (first, says), (second, _) = run_together(prepared, 2, "tests.recsys_vae.training.in_leaves", "killed", tmp_path)
    assert (first, second) == (1, -signal.SIGKILL)
    assert "Another process of this run has ended" in says
    finished = one_run(ALONE, tmp_path / "checkpoint")
    for name, value in one_run(ALONE).items():
        assert torch.equal(finished[name], value), name


@pytest.mark.parametrize("kind", ["mult-dae", "elsa"])
def test_without_noise_leaves_come_to_what_whole_batches_do(kind: str) -> None:
    whole, in_leaves = (still(kind) for _ in range(2))
    told = replace(CONFIG, epochs=4, leaves=0), replace(CONFIG, epochs=4)
    histories = [
        train(model, WORLD.matrix, config, validation=held_out()).history
        for model, config in zip((whole, in_leaves), told, strict=True)
    ]
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(in_leaves.state_dict()[name], value, rtol=1e-5, atol=1e-5)
    for one, other in zip(*histories, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)
        assert one["ndcg@100"] == pytest.approx(other["ndcg@100"], abs=1e-6)


def test_what_does_not_learn_in_an_epoch_stands_still() -> None:
    def after(epochs: int) -> dict[str, Tensor]:
        torch.manual_seed(0)
        model = RecVAE(12, SMALL["rec-vae"])
        train(model, WORLD.matrix, replace(CONFIG, epochs=4), stop_after=epochs)  # the fourth trains the decoder
        return model.state_dict()

    before, found = after(3), after(4)
    moved = {name.partition(".")[0] for name, value in found.items() if not torch.equal(value, before[name])}
    assert moved == {"output", "old_encoder"}


def test_leaves_are_dealt_out_evenly_or_not_at_all() -> None:
    for size in (1, 2, 4):
        check_leaves(4, Group(0, size))
    check_leaves(0, Group(0, 3))
    for leaves, size in ((4, 3), (4, 8), (2, 4)):
        with pytest.raises(ConfigError, match="power of two"):
            check_leaves(leaves, Group(0, size))
    with pytest.raises(ConfigError, match="Start 2 of them"):
        check_leaves(4, Group(0, 3))
    for wrong in (3, -1):
        with pytest.raises(ConfigError, match="leaves"):
            TrainingConfig(leaves=wrong)


def test_a_leaf_has_the_same_users_in_any_group() -> None:
    def of(size: int) -> list[list[list[int]]]:
        each = 4 // size
        dealt = [
            Batches(WORLD.matrix, 13, 0, CPU, Group(rank, size)).in_leaves(
                1, 1, range(rank * each, (rank + 1) * each), 4
            )
            for rank in range(size)
        ]
        return [
            [part.rows.indices.tolist() for batch in together for part in batch.leaves]
            for together in zip(*dealt, strict=True)
        ]

    assert of(1) == of(2) == of(4)
    batches = Batches(WORLD.matrix, 13, 0, CPU)
    for cut, whole in zip(batches.in_leaves(1, 1, range(4), 4), batches.epoch(1, 1), strict=True):
        counted = [part.rows.indices for part in cut.leaves if part.share]
        assert sorted(torch.cat(counted).tolist()) == sorted(whole.rows.indices.tolist()) == sorted(cut.read.tolist())
        assert sum(part.share for part in cut.leaves) == pytest.approx(1)


def test_noise_is_a_leafs_own_and_the_same_whoever_takes_it() -> None:
    def drawn(*place: int, seed: int = 3) -> float:
        with growing(4, seed, Group(0, 1), CPU) as leaves:
            assert leaves is not None
            assert list(leaves.own) == [0, 1, 2, 3]
            return float(torch.rand((), generator=leaves.noise(*place)))

    places = [(0, 0), (0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)]
    found = [drawn(*place) for place in places] + [drawn(0, 0, 0, seed=4)]
    assert len(set(found)) == len(found)
    assert drawn(0, 0, 1) == found[2]


def test_a_step_by_parameters_is_the_step() -> None:
    def moved(*, apart: bool) -> list[Tensor]:
        torch.manual_seed(0)
        parameters = [torch.nn.Parameter(torch.randn(3, 2)) for _ in range(3)]
        optimizer = LazyAdam(parameters, 0.1, weight_decay=0.1)
        for _ in range(3):
            parameters[0].grad = torch.randn(3, 2)
            parameters[1].grad = torch.sparse_coo_tensor([[0, 2]], torch.randn(2, 2), (3, 2), check_invariants=False)
            if apart:
                optimizer.step_apart(lambda move, some: [move(one) for one in some])
            else:
                optimizer.step()
        return [parameter.detach() for parameter in parameters]

    for one, other in zip(moved(apart=True), moved(apart=False), strict=True):
        assert torch.equal(one, other)


def test_a_sample_is_drawn_once_for_all_parts_of_a_batch() -> None:
    sampler = SampledSoftmax(torch.arange(1, 50), 20)
    first, again, other = (sampler.drawn_by(torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    hidden, output = torch.ones(1, 2), torch.nn.Linear(2, 49)
    rows = SparseRows.from_csr(WORLD.matrix[[0]])
    values = [one(hidden, output, rows).item() for one in (first, first, again, other)]
    assert values[0] == values[1] == values[2] != values[3]
    assert np.isfinite(values).all()
