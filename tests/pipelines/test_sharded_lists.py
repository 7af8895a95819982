"""Lists that a cluster makes are the file that one machine writes."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines import sharded_lists
from pipelines.cluster.connection import Cluster, Node
from pipelines.dataset.directory import DatasetDir
from pipelines.recommend import TORCH, Asked, recommend_all
from pipelines.sharded_lists import shard_folder, spread_on
from recsys_vae.bundles.bundle import Bundle, write_bundle
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.errors import ConfigError, UnavailableError
from recsys_vae.reranking.rules import NO_RULES
from tests.fake_ray import CLUSTER, Gone, Pending, fake_ray
from tests.pipelines.datasets_of_tastes import dataset_of_tastes
from tests.ray_clusters import replace_node
from tests.worlds import two_tastes, untrained

ASKED = Asked(5, "exclude", None, TORCH, NO_RULES)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> tuple[Path, DatasetDir]:
    folder, world = tmp_path_factory.mktemp("world"), two_tastes(400)
    dataset = dataset_of_tastes(folder / "tastes", 400)
    write_bundle(
        folder / "bundle",
        untrained("mult-vae", 12),
        world.items,
        popularity=world.item_counts(),
        provenance=Provenance(dataset="tastes"),
    )
    return folder / "bundle", dataset


@pytest.fixture
def one_machine(world, tmp_path) -> bytes:
    bundle, dataset = world
    recommend_all(Bundle.load(bundle), dataset, tmp_path / "here.parquet", k=5, chunk=4)
    return (tmp_path / "here.parquet").read_bytes()


def _on_cluster(cluster: Cluster, world: tuple[Path, DatasetDir], to: Path) -> bytes:
    bundle, dataset = world
    spread = spread_on(cluster, bundle, dataset, to, ASKED, None, 4)
    recommend_all(Bundle.load(bundle), dataset, to, k=5, chunk=4, spread=spread)
    return to.read_bytes()


def test_the_file_is_that_of_one_machine(either, world, one_machine, tmp_path):
    to = tmp_path / "there.parquet"
    assert _on_cluster(either, world, to) == one_machine
    assert json.loads((tmp_path / "there.parquet.json").read_bytes())["asked"] == 400
    assert not shard_folder(to).exists()


@pytest.mark.slow
def test_a_node_that_dies_changes_nothing(started, cluster, world, one_machine, tmp_path, monkeypatch):
    killed = []
    shards = sharded_lists._shards

    def kill_one(*arguments):
        for number, shard in enumerate(shards(*arguments)):
            if number == 3:
                replace_node(started)
                killed.append(number)
            yield shard

    monkeypatch.setattr(sharded_lists, "_shards", kill_one)
    assert _on_cluster(cluster, world, tmp_path / "there.parquet") == one_machine
    assert killed


def test_a_run_that_was_broken_off_goes_on(either, world, one_machine, tmp_path, monkeypatch):
    to, shards = tmp_path / "there.parquet", sharded_lists._shards

    def break_off(*arguments):
        for number, shard in enumerate(shards(*arguments)):
            if number == 4:
                raise KeyboardInterrupt
            yield shard

    with monkeypatch.context() as patched:
        patched.setattr(sharded_lists, "_shards", break_off)
        with pytest.raises(KeyboardInterrupt):
            _on_cluster(either, world, to)
    kept = {path.name: path.stat().st_mtime_ns for path in shard_folder(to).glob("*.arrow")}
    assert kept
    damaged = shard_folder(to) / sorted(kept)[0]
    damaged.write_bytes(b"damaged")
    seen: dict[str, int] = {}
    prepare = sharded_lists.rmtree
    monkeypatch.setattr(
        sharded_lists,
        "rmtree",
        lambda folder: (
            seen.update({path.name: path.stat().st_mtime_ns for path in folder.glob("*.arrow")}),
            prepare(folder),
        ),
    )
    assert _on_cluster(either, world, to) == one_machine
    assert {name for name in kept if seen[name] == kept[name]} == set(kept) - {damaged.name}


def test_strangers_files_stay_where_shards_would_go(either, world, tmp_path):
    to = tmp_path / "there.parquet"
    shard_folder(to).mkdir()
    (shard_folder(to) / "mine.txt").touch()
    with pytest.raises(ConfigError, match="holds something else than shards of lists"):
        _on_cluster(either, world, to)
    assert (shard_folder(to) / "mine.txt").exists()


@pytest.mark.parametrize("question", range(7))
def test_what_an_actor_that_dies_was_asked_another_one_is_asked(question, world, one_machine, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", fake_ray(dies_at=question))
    assert _on_cluster(CLUSTER, world, tmp_path / "there.parquet") == one_machine


@pytest.mark.parametrize("fates", [(Pending, None), (None, Pending)])
def test_an_actor_that_has_no_processor_holds_nothing_up(fates, world, one_machine, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", fake_ray(fates=fates))
    assert _on_cluster(CLUSTER, world, tmp_path / "there.parquet") == one_machine


@pytest.mark.slow
def test_a_node_that_is_lost_before_actors_are_made_holds_nothing_up(cluster, world, one_machine, tmp_path):
    with_lost = replace(cluster, nodes=(*cluster.nodes, Node("lost", "lost", 1)))
    assert _on_cluster(with_lost, world, tmp_path / "there.parquet") == one_machine


@pytest.mark.parametrize("fates", [(None, Gone), (Gone, Gone)])
def test_an_actor_that_cannot_be_made_is_told_of(fates, world, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", fake_ray(fates=fates))
    with pytest.raises(UnavailableError, match="it could not be made"):
        _on_cluster(CLUSTER, world, tmp_path / "there.parquet")
