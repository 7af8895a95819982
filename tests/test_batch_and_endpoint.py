"""Batch file and endpoint give every user the same list: they share one fallback chain, and one history."""

from pathlib import Path

import polars as pl
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from pipelines import cli
from pipelines.recommend import recommend_all
from recsys_vae.bundles.bundle import Bundle, write_bundle
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.data.ids import IdMap
from service.app import create_app
from service.settings import Settings
from tests.pipelines.datasets_of_tastes import dataset_of_tastes
from tests.worlds import two_tastes, untrained

K = 5


@pytest.mark.parametrize("model", ["mult-vae", "ease", "popularity", "blend"])
@pytest.mark.parametrize("scorer", ["torch", "index"])
def test_batch_and_endpoint_agree(recsys_home: Path, tmp_path: Path, model: str, scorer: str) -> None:
    dataset = dataset_of_tastes(recsys_home / "datasets" / "tastes")
    world = two_tastes(60)
    write_bundle(
        tmp_path / "bundle", untrained(model, 12), world.items, popularity=world.item_counts(), provenance=Provenance()
    )
    users = IdMap.from_values([*world.users.values.to_list(), "stranger"])
    recommend_all(
        Bundle.load(tmp_path / "bundle"), dataset, tmp_path / "lists", k=K, only=users, chunk=7, scorer=scorer
    )
    assert CliRunner().invoke(cli.build(), ["load-history", "tastes"]).exit_code == 0
    lists = pl.read_parquet(tmp_path / "lists").partition_by("user_id", as_dict=True)
    assert len(lists) == 61
    with TestClient(create_app(Settings(bundle=tmp_path / "bundle"))) as client:
        for (user,), batch in lists.items():
            answer = client.post("/v1/recommendations", json={"user_id": user, "k": K}).json()
            assert answer["tier"] == batch["tier"][0] == ("popular" if user == "stranger" else "history")
            scores = [item["score"] for item in answer["items"]]
            assert scores == pytest.approx(batch["score"].to_list(), rel=1e-5, abs=1e-6)
            assert [item["item_id"] for item in answer["items"]] == batch["item_id"].to_list()
