"""Training on a Ray cluster: how many workers, what is refused, and, slow, real workers that are killed."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.cli import build
from pipelines.cluster.connection import Cluster, Node, connected
from pipelines.dataset.directory import DatasetDir
from pipelines.training import on_cluster
from pipelines.training.fit import ModelSpec
from pipelines.training.in_bucket import Bucket
from pipelines.training.on_cluster import Workers, train_there, workers_on
from pipelines.training.train import Output, train_bundle
from recsys_vae.errors import ConfigError, UnavailableError
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.tracking import connect
from tests.buckets import own_bucket
from tests.pipelines.datasets_of_tastes import dataset_of_tastes
from tests.pipelines.training.dying_workers import DyingOnTheWay, dying, idle, refusing
from tests.ray_clusters import TOKEN
from tests.worlds import SMALL

IN_LEAVES = TrainingConfig(epochs=3, batch_size=13, leaves=4, checkpoint_seconds=0.0, device="cpu")
MULT_VAE = ModelSpec("mult-vae", SMALL["mult-vae"], IN_LEAVES)
SHARED_OUT = replace(MULT_VAE, training=replace(IN_LEAVES, likelihood="sampled", negatives=6, shard_items=True))


def cluster(*cpus: int) -> Cluster:
    return Cluster("10.0.0.5:6379", tuple(Node(str(number), f"node {number}", cpu) for number, cpu in enumerate(cpus)))


def test_workers_have_a_processor_for_each_of_their_leaves_where_nodes_offer_them() -> None:
    assert workers_on(cluster(16), 2, IN_LEAVES) == Workers(2, 2, gpu=False)
    assert workers_on(cluster(3, 3), 1, IN_LEAVES) == Workers(1, 2, gpu=False)
    assert workers_on(cluster(1, 1), 2, IN_LEAVES) == Workers(2, 1, gpu=False)
    assert workers_on(cluster(1, 1, 1, 1, 1), None, IN_LEAVES) == Workers(4, 1, gpu=False)
    assert workers_on(cluster(3), None, IN_LEAVES) == Workers(2, 1, gpu=False)
    assert workers_on(cluster(8), 2, TrainingConfig(device="cuda")) == Workers(2, 1, gpu=True)
    with pytest.raises(ConfigError, match="4 workers want a processor each"):
        workers_on(cluster(2, 1), 4, IN_LEAVES)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--model", "mult-vae", "--workers", "2"], "processes of a Ray cluster"),
        (["--model", "mult-vae", "--workers", "3", "--ray", "local"], "power of two"),
        (["--model", "ease", "--ray", "local"], "closed form"),
        (["--model", "mult-vae", "--storage", "s3://bucket/runs"], "name the cluster"),
        (["--model", "mult-vae", "--ray", "local", "--storage", "/shared"], "no address of a bucket"),
    ],
)
def test_what_cannot_be_is_refused(
    arguments: list[str], why: str, mlflow_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RECSYS_RAY", raising=False)
    dataset = dataset_of_tastes(mlflow_home / "datasets" / "tastes")
    refused = CliRunner().invoke(build(), ["train", str(dataset.path), "--to", str(mlflow_home / "new"), *arguments])
    assert isinstance(refused.exception, ConfigError)
    assert why in str(refused.exception)


def test_torchrun_and_ray_exclude_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    refused = CliRunner().invoke(build(), ["train", "any", "--to", "new", "--model", "mult-vae", "--ray", "local"])
    assert isinstance(refused.exception, ConfigError)
    assert "without torchrun" in str(refused.exception)


@pytest.fixture
def dataset(mlflow_home: Path) -> DatasetDir:
    return dataset_of_tastes(mlflow_home / "datasets" / "tastes")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")  # Ray's
@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
@pytest.mark.parametrize("spec", [MULT_VAE, SHARED_OUT], ids=["whole", "shared out"])
def test_workers_that_are_killed_write_the_bundle_of_one_process(
    spec: ModelSpec, dataset: DatasetDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    alone = train_bundle(dataset, "strong", spec, Output(tmp_path / "alone"), resume=False)
    kills, there = tmp_path / "kills", Output(tmp_path / "there")
    kills.mkdir()
    part = partial(dying, kills, 2, dataset, "strong", spec, there, resume=True)
    with connected("local", tmp_path):
        train_there(Workers(2, 1, gpu=False), part, there.workspace)
        assert len(list(kills.iterdir())) == 2
        with pytest.raises(ConfigError, match="of 2 has a wrong setting"):
            train_there(Workers(2, 1, gpu=False), refusing, tmp_path / "refused")
        if spec is MULT_VAE:  # one that is lost as the group starts, whose processors Ray Train does not give back
            train_there(Workers(2, 1, gpu=False), partial(idle, DyingOnTheWay(kills)), tmp_path / "begun")
            assert len(list(kills.iterdir())) == 3
            assert set(on_cluster._groups_of_this_job().values()) == {"REMOVED"}
    trained = train_bundle(dataset, "strong", spec, there, resume=True, told_afterwards=True)
    assert trained.manifest.files == alone.manifest.files
    assert trained.manifest.version == alone.manifest.version
    assert trained.manifest.provenance.metrics == alone.manifest.provenance.metrics
    history = connect().get_metric_history(trained.run_id, "loss")
    assert [entry.step for entry in history] == [1, 2, 3]
    assert not there.workspace.exists()
    assert list((tmp_path / "refused").iterdir()) == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")  # Ray's
@pytest.mark.skipif(find_spec("ray") is None or find_spec("moto") is None, reason="Ray or moto is not installed")
def test_workers_go_on_from_a_bucket_where_they_have_no_folder_in_common(
    dataset: DatasetDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    alone = train_bundle(dataset, "strong", SHARED_OUT, Output(tmp_path / "alone"), resume=False)
    kills, there = tmp_path / "kills", Output(tmp_path / "there")
    kills.mkdir()
    part = partial(dying, str(kills), 1, dataset, "strong", SHARED_OUT, there, resume=True)
    with own_bucket(monkeypatch) as storage:
        bucket = Bucket.of(storage.address, there)
        bucket.prepare(part, there, resume=False)
        elsewhere = dataset.path.rename(tmp_path / "elsewhere")
        with connected("local"):
            train_there(Workers(2, 1, gpu=False), bucket.part_of(part), there.workspace, bucket.root)
            assert len(list(kills.iterdir())) == 1
            assert list(there.workspace.iterdir()) == []
            refused = partial(refusing, there)
            with pytest.raises(ConfigError, match="of 2 has a wrong setting"):
                train_there(Workers(2, 1, gpu=False), bucket.part_of(refused), there.workspace, bucket.root)
        bucket.bring_checkpoints(there)
        assert storage.keys() == []
    elsewhere.rename(dataset.path)
    trained = train_bundle(dataset, "strong", SHARED_OUT, there, resume=True, told_afterwards=True)
    assert trained.manifest.files == alone.manifest.files


NoRoom = type(on_cluster.NO_ROOM, (Exception,), {})


def _begun(monkeypatch: pytest.MonkeyPatch, failures: Sequence[Exception]) -> tuple[list[object], list[int]]:
    """Trainers that are begun until one does not fail, and how often what they left has been removed."""
    train = pytest.importorskip("ray.train")
    begun: list[object] = []
    removed: list[int] = []
    monkeypatch.setattr(on_cluster, "_give_back_processors", lambda: removed.append(len(begun)))

    class Trainer:
        def fit(self) -> None:
            begun.append(self)
            if len(begun) <= len(failures):
                raise train.ControllerError(failures[len(begun) - 1])

    on_cluster._fit_in_a_thread(Trainer, str)
    return begun, removed


def lost() -> Exception:
    error: Exception = pytest.importorskip("ray.exceptions").ActorUnavailableError("Socket closed", None)
    return error


def test_a_worker_that_is_lost_while_it_is_asked_does_not_end_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, removed = _begun(monkeypatch, [lost()])
    assert len(begun) == 2
    assert removed == [0, 1]
    with pytest.raises(UnavailableError, match="Socket closed"):
        _begun(monkeypatch, [lost()] * (on_cluster.RESTARTS + 1))


def test_waiting_for_room_loses_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, _ = _begun(monkeypatch, [NoRoom("none")] * 2 * on_cluster.RESTARTS + [lost()])
    assert len(begun) == 2 * on_cluster.RESTARTS + 2


def test_what_another_trainer_would_meet_again_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnavailableError, match=r"given up.*no such scheme"):
        _begun(monkeypatch, [ValueError("no such scheme")])
