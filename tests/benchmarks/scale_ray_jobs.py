"""The jobs that scale_ray compares: each runs here or on a cluster, and tells digests of all that it made."""

import shutil
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path

from pipelines.cluster.connection import Cluster
from pipelines.dataset.directory import DatasetDir
from pipelines.evaluation.evaluate import METRICS, evaluate_bundle
from pipelines.evaluation.on_cluster import spread_on as measuring_on
from pipelines.ingest.cleaning import CleaningRules
from pipelines.ingest.distributed.run import ClusterRun
from pipelines.ingest.ingest import ingest
from pipelines.ingest.keep import Keep
from pipelines.ingest.log_sources import Source
from pipelines.ingest.part_folders import parts_of
from pipelines.recommend import TORCH, Asked, recommend_all
from pipelines.sharded_lists import spread_on
from pipelines.sizing.calibration import run_verb
from pipelines.training.fit import ModelSpec
from pipelines.training.on_cluster import Workers, train_there
from pipelines.training.train import Output, take_part, train_bundle
from recsys_vae.bundles.bundle import Bundle
from recsys_vae.bundles.manifest import read_manifest
from recsys_vae.home import home
from recsys_vae.models.catalog import configure
from recsys_vae.reranking.rules import NO_RULES
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.leaves import LEAVES

K, BATCH, SPLIT = 100, 8, "strong"
RULES = CleaningRules(
    event_weights=(("view", 1.0), ("cart", 2.0), ("purchase", 5.0)), keep=Keep.MAX, min_user=3, min_item=3
)
TRAINING = TrainingConfig(epochs=10, batch_size=100, leaves=LEAVES, checkpoint_seconds=0.3, device="cpu")
SPEC = ModelSpec("mult-vae", configure("mult-vae", {"hidden": 64, "latent": 16}), TRAINING)
Job = Callable[[Cluster | None], dict[str, str]]


def folder() -> Path:
    """Where logs, datasets, bundles and lists go."""
    return home() / "bench-scale"


def prepare(events: int, items: int, rows_per_part: int, *, parts: int = 12) -> None:
    """A log in parts, the dataset of one machine, a split of it and a bundle of EASE."""
    size = ("--users", str(events // 40), "--items", str(items), "--events", str(events), "--seed", "11")
    dirt = ("--bad", "0.002", "--duplicates", "0.003", "--skewed", "0.01", "--part-rows", str(events // parts))
    run_verb(home(), "simulate", str(folder() / "ray-log"), *size, *dirt)
    data = DatasetDir(folder() / "ray-data")
    ingest(_source(), data, RULES, overwrite=True, rows_per_part=rows_per_part)
    run_verb(home(), "split", str(data.path), "--protocol", SPLIT)
    run_verb(home(), "train", str(data.path), "--to", str(folder() / "ray-bundle"), "--model", "ease", "--overwrite")


def remove() -> None:
    """Take away what `prepare` and the jobs have made."""
    for path in folder().glob("*ray-*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def ingested(rows_per_part: int, cluster: Cluster | None) -> dict[str, str]:
    """Digests of the files of a dataset."""
    target = DatasetDir(folder() / "ray-made")
    begin = None if cluster is None else partial(ClusterRun, cluster=cluster)
    ingest(_source(), target, RULES, overwrite=True, rows_per_part=rows_per_part, begin=begin)
    files = [path for path in sorted(target.path.rglob("*")) if path.is_file()]
    return {str(path.relative_to(target.path)): sha256(path.read_bytes()).hexdigest() for path in files}


def trained(cluster: Cluster | None) -> dict[str, str]:
    """Digests of the files of a bundle that two workers have trained, or one process."""
    output = Output(folder() / "ray-trained", overwrite=True)
    if cluster is not None:
        part = partial(take_part, _data(), SPLIT, SPEC, output, resume=True)
        train_there(Workers(2, 1, gpu=False), part, output.workspace)
    on_ray = cluster is not None
    train_bundle(_data(), SPLIT, SPEC, output, resume=on_ray, told_afterwards=on_ray)
    return dict(read_manifest(output.path).files)


def listed(chunk: int, cluster: Cluster | None) -> dict[str, str]:
    """Digest of the file of lists."""
    bundle, to = folder() / "ray-bundle", folder() / "ray-lists.parquet"
    asked = Asked(K, "exclude", None, TORCH, NO_RULES)
    spread = None if cluster is None else spread_on(cluster, bundle, _data(), to, asked, None, chunk)
    recommend_all(Bundle.load(bundle), _data(), to, k=K, chunk=chunk, spread=spread)
    return {to.name: sha256(to.read_bytes()).hexdigest()}


def measured(cluster: Cluster | None) -> dict[str, str]:
    """Digests of all figures by user, and of the differences with their intervals."""
    run = evaluate_bundle(
        folder() / "ray-bundle",
        _data(),
        SPLIT,
        baselines=["popularity"],
        metrics=METRICS,
        batch_size=BATCH,
        spread=None if cluster is None else measuring_on(cluster),
    )
    found = {"differences": sha256(repr(run.differences).encode()).hexdigest()}
    for one in run.results:
        for name, values in one.evaluation.per_user.items():
            found[f"{one.label} {name}"] = sha256(values.tobytes()).hexdigest()
    return found


def jobs(rows_per_part: int, chunk: int) -> dict[str, Job]:
    """All of them, by name.

    Args:
        rows_per_part: of ingest, rows of a range of users.
        chunk: of lists, users at a time.
    """
    return {
        "ingest": partial(ingested, rows_per_part),
        "train": trained,
        "batch": partial(listed, chunk),
        "evaluate": measured,
    }


def _data() -> DatasetDir:
    return DatasetDir(folder() / "ray-data")


def _source() -> Source:
    return Source(tuple(parts_of(folder() / "ray-log" / "events")))
