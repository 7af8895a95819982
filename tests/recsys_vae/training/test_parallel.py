"""Two real processes on one machine, connected by gloo; what they do stands in `together`."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from recsys_vae.errors import ConfigError, TrainingError
from recsys_vae.training.batches import Batches
from recsys_vae.training.parallel import ALONE, Group, join
from tests.prepared import Prepared
from tests.recsys_vae.training.processes import run_together
from tests.recsys_vae.training.together import WORLD, equality


def run_two(prepared: Prepared, scenario: str, folder: Path) -> list[tuple[int, str]]:
    """Exit status and messages of each process."""
    return run_together(prepared, 2, "tests.recsys_vae.training.together", scenario, folder)


def part(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}/"): value for key, value in tensors.items() if key.startswith(f"{name}/")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, prepared: Prepared) -> Path:
    found = tmp_path_factory.mktemp("two")
    ended = run_two(prepared, "success", found)
    assert [status for status, _ in ended] == [0, 0], ended
    return found


@pytest.fixture(scope="module")
def results(folder: Path) -> list[dict[str, Tensor]]:
    """What each of the two came to."""
    return [load_file(folder / f"{rank}.safetensors") for rank in (0, 1)]


@pytest.mark.parametrize("gradients_travel", ["together", "apart"])
def test_two_processes_take_the_steps_of_one(results: list[dict[str, Tensor]], gradients_travel: str) -> None:
    expected = equality(ALONE, 1)
    for result in results:
        found = part(result, gradients_travel)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


def test_all_start_from_the_first_ones_weights_and_draw_their_own_noise(results: list[dict[str, Tensor]]) -> None:
    first, second = (part(result, "noise") for result in results)
    assert (first.pop("drawn") != second.pop("drawn")).all()
    assert first
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_ctrl_c_in_one_stops_both_and_they_resume_bit_for_bit(results: list[dict[str, Tensor]]) -> None:
    for result in results:
        found = part(result, "resume")
        assert found["left"] == 0  # both ended the step under way
        whole, resumed = part(found, "whole"), part(found, "resumed")
        assert whole
        for name, value in whole.items():
            assert torch.equal(resumed[name], value), name


def test_checkpoints_are_of_all_processes(folder: Path, results: list[dict[str, Tensor]]) -> None:
    first, second = ((folder / f"refused-{rank}").read_text().splitlines() for rank in (0, 1))
    assert "written by 2 process(es), and 1 want" in first.pop(0)
    assert "a disk that all of them share" in first[0]
    assert first == second


def test_an_error_in_one_process_ends_both_with_a_message(tmp_path: Path, prepared: Prepared) -> None:
    (first, says), (second, own) = run_two(prepared, "failure", tmp_path)
    assert (first, second) == (1, 1)
    assert "out of luck" in own
    assert "Another process of this run has ended" in says
    assert "Traceback" not in says + own


def test_without_torchrun_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with join() as group:
        assert group == ALONE
        assert group.seed(7) == 7
        assert group.add([1.5]) == [1.5]
        assert group.any([True, False]) == [True, False]


def test_who_cannot_be_reached_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(TrainingError, match="RANK"), join():
        pass


def test_processes_draw_from_different_seeds() -> None:
    assert len({Group(rank, 8).seed(3) for rank in range(8)} | {Group(1, 2).seed(4)}) == 9


def test_every_user_of_a_batch_goes_to_one_process() -> None:
    groups = [Group(rank, 3) for rank in range(3)]
    whole = Batches(WORLD.matrix, 13, 0, torch.device("cpu")).epoch(0)
    parts = [Batches(WORLD.matrix, 13, 0, torch.device("cpu"), group).epoch(0) for group in groups]
    for batch, *shares in zip(whole, *parts, strict=True):
        assert sum(share.share for share in shares) == pytest.approx(1)
        assert {share.n_users for share in shares} == {batch.n_users}
        counted = [share.rows.indices for share in shares if share.share]
        assert sorted(torch.cat(counted).tolist()) == sorted(batch.rows.indices.tolist())
    assert [share.share for share in shares] == [1, 0, 0]  # the last batch has one user


def test_several_processes_do_not_share_a_named_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Group(1, 2).device("cpu") == torch.device("cpu")
    for name in ("cuda:0", "meta"):
        monkeypatch.setattr("recsys_vae.training.parallel.choose_device", torch.device)
        with pytest.raises(ConfigError, match="one device"):
            Group(1, 2).device(name)
    assert Group(1, 2, local_rank=1).device("cuda") == torch.device("cuda:1")
