import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.histories import read_histories
from pipelines.recommend import Named, embed_items, embed_users, recommend_all
from recsys_vae.bundles.bundle import Bundle, write_bundle
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.data.ids import IdMap
from recsys_vae.errors import ConfigError, DataError, UnknownNameError
from recsys_vae.native.library import library
from recsys_vae.recommender import FallbackChain
from recsys_vae.reranking.rules import parse_rules
from tests.pipelines import logs_of_tastes
from tests.pipelines.datasets_of_tastes import dataset_of_tastes
from tests.prepared import Prepared
from tests.worlds import csr, two_tastes, untrained

WORLD = two_tastes(60)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DatasetDir:
    return dataset_of_tastes(tmp_path_factory.mktemp("data") / "tastes")


def bundle_of(path: Path, model: str = "mult-vae") -> Bundle:
    write_bundle(
        path, untrained(model, 12), WORLD.items, popularity=WORLD.item_counts(), provenance=Provenance(dataset="tastes")
    )
    return Bundle.load(path)


@pytest.mark.parametrize("rows_at_once", [1, 7, 10**6])
@pytest.mark.parametrize("size", [1, 13, 1000])
def test_histories_come_in_chunks_that_add_up(
    dataset: DatasetDir, monkeypatch: pytest.MonkeyPatch, rows_at_once: int, size: int
) -> None:
    monkeypatch.setattr("pipelines.dataset.histories.ROWS_AT_ONCE", rows_at_once)
    chunks = list(read_histories(dataset, WORLD.items, size))
    assert pl.concat([chunk.users for chunk in chunks]).to_list() == WORLD.users.values.to_list()
    assert all(len(chunk.users) <= size for chunk in chunks)
    whole = np.concatenate([chunk.histories.toarray() for chunk in chunks])
    assert (whole == WORLD.matrix.toarray()).all()


def test_histories_of_a_list_of_users_end_with_those_who_have_none(dataset: DatasetDir) -> None:
    only = IdMap.from_values(["u003", "stranger", "u001", "aaa"])
    chunks = list(read_histories(dataset, WORLD.items, 2, only))
    assert [chunk.users.to_list() for chunk in chunks] == [["u001", "u003"], ["aaa", "stranger"]]
    assert [chunk.histories.nnz for chunk in chunks] == [8, 0]


@pytest.mark.parametrize("model", ["ease", "graph-filter", "ials", "mult-dae", "mult-vae", "rec-vae"])
def test_lists_are_made_without_torch(dataset: DatasetDir, tmp_path: Path, model: str) -> None:
    if library() is None:
        pytest.skip("nothing is compiled here")
    bundle = bundle_of(tmp_path / "bundle", model)
    recommend_all(bundle, dataset, tmp_path / "with.parquet", k=4)
    script = """if True:
        import sys
        from pipelines.cli import build
        build("recommend")(["recommend", *sys.argv[1:]], standalone_mode=False)
        sys.exit("torch" in sys.modules or "mlflow" in sys.modules)
    """
    without = tmp_path / "without.parquet"
    told = [str(one) for one in (tmp_path / "bundle", dataset.path, "--to", without, "--k", 4)]
    subprocess.run([sys.executable, "-c", script, *told], check=True)
    assert_frame_equal(pl.read_parquet(without), pl.read_parquet(tmp_path / "with.parquet"))


def test_items_outside_the_catalogue_are_left_out(dataset: DatasetDir) -> None:
    few = IdMap(WORLD.items.values.head(3))
    whole = np.concatenate([chunk.histories.toarray() for chunk in read_histories(dataset, few, 100)])
    assert (whole == WORLD.matrix.toarray()[:, :3]).all()


def test_lists_keep_rules(dataset: DatasetDir, tmp_path: Path) -> None:
    table = pl.DataFrame({"item_id": WORLD.items.values, "brand": ["x", "y", "z"] * 4, "own": [True] + [False] * 11})
    write_bundle(tmp_path / "bundle", untrained("ease", 12), WORLD.items, popularity=WORLD.item_counts(),
                 provenance=Provenance(dataset="tastes"), item_table=table)  # fmt: skip
    bundle, rules = Bundle.load(tmp_path / "bundle"), parse_rules(["2:brand"], ["1:own=true"], None)
    report = recommend_all(bundle, dataset, tmp_path / "out.parquet", k=4, chunk=7, rules=rules)
    lists = pl.read_parquet(tmp_path / "out.parquet").join(table, on="item_id")
    assert report.rules == "at most 2 of one brand, at least 1 of own=true"
    assert report.rows == 240
    assert lists.group_by("user_id", "brand").len()["len"].max() == 2
    has_own = lists.group_by("user_id").agg(pl.col("own").any())
    owners = dataset.interactions().filter(pl.col("item_id") == "i000").select("user_id").collect()["user_id"]
    assert set(has_own.filter(~pl.col("own"))["user_id"]) == set(owners)  # they have it already
    again = recommend_all(bundle, dataset, tmp_path / "out.parquet", k=4, keep_seen=True, rules=rules)
    assert again.rows == 240
    with pytest.raises(UnknownNameError, match="column of the items"):
        recommend_all(bundle, dataset, tmp_path / "out.parquet", rules=parse_rules(["2:colour"], [], None))


def test_every_user_gets_k_unseen_items_in_score_order(dataset: DatasetDir, tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path / "bundle")
    report = recommend_all(bundle, dataset, tmp_path / "out.parquet", k=5, chunk=7)
    lists = pl.read_parquet(tmp_path / "out.parquet")
    assert lists.columns == ["user_id", "rank", "item_id", "score", "tier", "source"]
    assert (report.users, report.rows, report.tiers) == (60, 300, {"history": 60})
    answers = FallbackChain(bundle).recommend(WORLD.matrix, 5)
    assert lists["item_id"].to_list() == bundle.items.ids(answers.rows.ravel())
    assert lists["rank"].to_list() == [1, 2, 3, 4, 5] * 60
    seen = dataset.interactions().select("user_id", "item_id").collect()
    assert lists.join(seen, on=["user_id", "item_id"]).is_empty()


def test_strangers_in_a_list_of_users_get_the_popular_items(dataset: DatasetDir, tmp_path: Path) -> None:
    only = IdMap.from_values(["u000", "stranger"])
    report = recommend_all(bundle_of(tmp_path / "b", "ease"), dataset, tmp_path / "out.parquet", k=3, only=only)
    assert report.tiers == {"history": 1, "popular": 1}


@pytest.mark.parametrize("model", ["mult-vae", "ease"])
def test_both_scorers_give_the_same_lists(dataset: DatasetDir, tmp_path: Path, model: str) -> None:
    bundle = bundle_of(tmp_path / "b", model)
    reports = [recommend_all(bundle, dataset, tmp_path / name, k=5, scorer=name) for name in ("torch", "index")]
    assert [report.scorer for report in reports] == ([model] * 2 if model == "ease" else ["torch", "faiss-flat"])
    first, second = (pl.read_parquet(tmp_path / name) for name in ("torch", "index"))
    assert first["item_id"].equals(second["item_id"])
    np.testing.assert_allclose(first["score"], second["score"], rtol=1e-5, atol=1e-6)


def test_fewer_items_than_k_give_shorter_lists(dataset: DatasetDir, tmp_path: Path) -> None:
    recommend_all(bundle_of(tmp_path / "b"), dataset, tmp_path / "out.parquet", k=50)
    assert pl.read_parquet(tmp_path / "out.parquet").group_by("user_id").len()["len"].unique().to_list() == [8]


def test_users_who_have_everything_are_named_and_others_answered(tmp_path: Path) -> None:
    log = logs_of_tastes.frame(20)
    everything = pl.DataFrame({"user_id": "glutton", "item_id": WORLD.items.values}).sort("item_id")
    dataset = logs_of_tastes.dataset(tmp_path / "d", pl.concat([everything, log.select("user_id", "item_id")]))
    bundle, out = bundle_of(tmp_path / "b"), tmp_path / "out.parquet"
    report = recommend_all(bundle, dataset, out, k=5, chunk=1)
    assert (report.asked, report.users, report.without_list) == (21, 20, Named(1, ("glutton",)))
    whole = pl.read_parquet(out)
    alone = recommend_all(bundle, dataset, out, k=5, only=IdMap.from_values(["glutton"]))
    assert (alone.asked, alone.users, alone.rows, alone.without_list.ids) == (1, 0, 0, ("glutton",))
    assert pl.read_parquet(out).is_empty()
    assert pl.read_parquet(out).schema == whole.schema
    assert recommend_all(bundle, dataset, out, k=5, only=IdMap.from_values(["glutton"]), keep_seen=True).rows == 5


def test_lists_may_hold_nothing_but_what_users_have(dataset: DatasetDir, tmp_path: Path) -> None:
    bundle, out = bundle_of(tmp_path / "b"), tmp_path / "out.parquet"
    only = IdMap.from_values(["u000", "u001", "stranger"])
    report = recommend_all(bundle, dataset, out, k=12, only=only, repeat="only")
    assert report.without_list == Named(1, ("stranger",))
    owned = dataset.interactions().filter(pl.col("user_id").is_in(["u000", "u001"])).collect()
    found = pl.read_parquet(out)
    assert sorted(found.select("user_id", "item_id").rows()) == sorted(owned.select("user_id", "item_id").rows())
    whole = tmp_path / "whole.parquet"
    recommend_all(bundle, dataset, whole, k=12, only=only, repeat="allow")
    kept = pl.read_parquet(whole).join(owned, on=("user_id", "item_id"), how="semi", maintain_order="left")
    assert kept.select("user_id", "item_id").equals(found.select("user_id", "item_id"))


def test_strangers_are_counted_and_named(dataset: DatasetDir, tmp_path: Path) -> None:
    only = IdMap.from_values(["u000", *(f"stranger{n:02}" for n in range(12))])
    report = recommend_all(bundle_of(tmp_path / "b"), dataset, tmp_path / "out.parquet", k=3, only=only)
    assert (report.strangers.number, report.users) == (12, 13)
    assert str(report.strangers).endswith("stranger09 and 2 more")
    assert json.loads((tmp_path / "out.parquet.json").read_text())["strangers"]["number"] == 12


def test_work_goes_by_the_catalogue_and_not_by_k(dataset: DatasetDir, tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path / "b")
    report = recommend_all(bundle, dataset, tmp_path / "out.parquet", k=10**30)
    assert (report.k, report.rows) == (10**30, 60 * 8)


def test_bad_questions_leave_no_file(dataset: DatasetDir, tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path / "b", "ease")
    with pytest.raises(ConfigError, match="at least 1"):
        recommend_all(bundle, dataset, tmp_path / "out.parquet", k=0)
    with pytest.raises(DataError, match="nobody"):
        recommend_all(bundle, dataset, tmp_path / "out.parquet", only=IdMap.from_values([]))
    with pytest.raises(UnknownNameError, match="torch"):
        recommend_all(bundle, dataset, tmp_path / "out.parquet", scorer="pytorch")
    with pytest.raises(DataError, match="no user and item vectors"):
        embed_items(bundle, tmp_path / "out.parquet")
    assert not list(tmp_path.glob("*.parquet*"))


def test_a_bundle_that_knows_none_of_the_items_is_refused(dataset: DatasetDir, tmp_path: Path) -> None:
    others = IdMap.from_values(f"film-{number}" for number in range(12))
    model = untrained("popularity", 12)
    write_bundle(tmp_path / "b", model, others, popularity=np.ones(12), provenance=Provenance(dataset="films"))
    with pytest.raises(DataError, match="learned from 'films'"):
        recommend_all(Bundle.load(tmp_path / "b"), dataset, tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


def test_vectors_multiply_to_scores(dataset: DatasetDir, tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path / "bundle")
    assert embed_users(bundle, dataset, tmp_path / "users.parquet", chunk=11) == 60
    assert embed_items(bundle, tmp_path / "items.parquet") == 12
    users, items = (
        np.array(pl.read_parquet(tmp_path / f"{name}.parquet")["vector"].to_list()) for name in ("users", "items")
    )
    np.testing.assert_allclose(users @ items.T, bundle.model.score(WORLD.matrix), atol=1e-5)


def test_a_batch_job_killed_leaves_nothing_and_runs_again(tmp_path: Path, prepared: Prepared) -> None:
    dataset = dataset_of_tastes(tmp_path / "many", n_users=999)
    bundle_of(tmp_path / "bundle")
    folder = tmp_path / "out"
    command = ["recommend", str(tmp_path / "bundle"), str(dataset.path), "--k", "5"]
    command += ["--to", str(folder / "lists.parquet")]
    process = prepared.recsys(*command, "--chunk", "1")
    deadline = time.monotonic() + 60
    while not list(folder.glob(".*.partial")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (folder / "lists.parquet").exists()
    assert prepared.recsys(*command).wait() == 0
    expected = recommend_all(Bundle.load(tmp_path / "bundle"), dataset, folder / "again.parquet", k=5)
    assert pl.read_parquet(folder / "lists.parquet").equals(pl.read_parquet(folder / "again.parquet"))
    assert expected.users == 999
    assert not list(folder.glob(".*.partial"))


def test_similar_histories_give_the_same_list_in_batch_and_alone(dataset: DatasetDir, tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path / "bundle")
    recommend_all(bundle, dataset, tmp_path / "out.parquet", k=5)
    of_user = pl.read_parquet(tmp_path / "out.parquet").filter(pl.col("user_id") == "u007")
    history = WORLD.matrix[[7]].indices.tolist()
    alone = FallbackChain(bundle).recommend(csr([history], 12), 5)
    assert of_user["item_id"].to_list() == bundle.items.ids(alone.rows[0])
    np.testing.assert_allclose(of_user["score"], alone.scores[0], rtol=1e-5, atol=1e-6)
