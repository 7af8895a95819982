"""Training through a bucket: what workers read and write there, without a cluster."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipelines.dataset.directory import DatasetDir
from pipelines.training import publish
from pipelines.training.fit import ModelSpec
from pipelines.training.in_bucket import Bucket
from pipelines.training.train import Output, take_part, train_bundle
from recsys_vae.errors import ConfigError
from recsys_vae.models.mult_vae import MultVAE
from recsys_vae.remote import names_below
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.parallel import ALONE
from tests import buckets
from tests.pipelines.datasets_of_tastes import dataset_of_tastes
from tests.worlds import SMALL

pytest.importorskip("moto")
IN_LEAVES = TrainingConfig(epochs=3, batch_size=13, leaves=4, checkpoint_seconds=0.0, device="cpu")
MULT_VAE = ModelSpec("mult-vae", SMALL["mult-vae"], IN_LEAVES)
SHARED_OUT = replace(MULT_VAE, training=replace(IN_LEAVES, likelihood="sampled", negatives=6, shard_items=True))


class BrokenError(Exception):
    """What ends a worker in these tests."""


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[buckets.Bucket]:
    with buckets.own_bucket(monkeypatch) as bucket:
        yield bucket


@pytest.fixture
def dataset(mlflow_home: Path) -> DatasetDir:
    return dataset_of_tastes(mlflow_home / "datasets" / "tastes")


@contextmanager
def counted(after: int = 0) -> Iterator[list[int]]:
    """Count the calls of the loss, and raise BrokenError at that one."""
    loss, calls = MultVAE.loss, [0]

    def counting(self: MultVAE, *arguments: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] == after:
            raise BrokenError
        return loss(self, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MultVAE, "loss", counting)
        yield calls


@pytest.mark.parametrize("spec", [MULT_VAE, SHARED_OUT], ids=["whole", "shared out"])
def test_a_worker_that_sees_the_bucket_alone_goes_on_from_there(
    spec: ModelSpec, storage: buckets.Bucket, dataset: DatasetDir, tmp_path: Path
) -> None:
    with counted() as all_calls:
        alone = train_bundle(dataset, "strong", spec, Output(tmp_path / "alone"), resume=False)
    output = Output(tmp_path / "there")
    bucket = Bucket.of(f"{storage.address}/runs", output)
    part = partial(take_part, dataset, "strong", spec, output, resume=True)
    bucket.prepare(part, output, resume=False)
    elsewhere = dataset.path.rename(tmp_path / "elsewhere")
    with counted(after=20) as calls, pytest.raises(BrokenError):
        bucket.part_of(part)(group=ALONE)
    kept = [name for name in names_below(bucket.checkpoints) if not name.startswith(".")]
    assert "choose.safetensors" in kept
    assert len(kept) == (1 if spec is MULT_VAE else 3)  # a state; of shared-out tables their rows, and the best ones
    with counted() as later:
        bucket.part_of(part)(group=ALONE)
    assert later[0] < all_calls[0] <= calls[0] + later[0]
    elsewhere.rename(dataset.path)
    bucket.bring_checkpoints(output)
    assert storage.keys() == []
    made = train_bundle(dataset, "strong", spec, output, resume=True, told_afterwards=True)
    assert made.manifest.files == alone.manifest.files
    assert not output.workspace.exists()
    if spec is MULT_VAE:
        shipped = Output(tmp_path / "shipped")
        bucket = Bucket.of(storage.address, shipped)
        part = partial(publish.take_part, output.path, dataset, shipped, resume=True)
        bucket.prepare(part, shipped, resume=False)
        assert not [name for name in names_below(bucket.root) if "splits" in name]
        bucket.part_of(part)(group=ALONE)
        bucket.bring_checkpoints(shipped)
        assert [path.name for path in shipped.workspace.iterdir()] == [publish.CHECKPOINT]


def test_what_was_broken_off_is_not_begun_again(storage: buckets.Bucket, dataset: DatasetDir, tmp_path: Path) -> None:
    output = Output(tmp_path / "there")
    bucket, part = Bucket.of(storage.address, output), partial(take_part, dataset, "strong", MULT_VAE, output)
    storage.put("there.training/checkpoints/choose.safetensors", b"begun")
    with pytest.raises(ConfigError, match="--resume"):
        bucket.prepare(part, output, resume=False)


@pytest.mark.parametrize("address", ["https://shop.example/runs", "/shared/runs", "ftp://bucket/runs"])
def test_what_is_no_bucket_is_refused(address: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no address of a bucket"):
        Bucket.of(address, Output(tmp_path / "there"))
