"""What requests say about users, through the whole service, over a bundle that reads it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient

from recsys_vae.bundles.bundle import Bundle, Tiers, write_bundle
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.bundles.segment_popularity import SegmentPopularity
from recsys_vae.bundles.tier_policy import TierPolicy, TierThreshold
from recsys_vae.data.features import Field, Schema
from recsys_vae.data.ids import IdMap
from recsys_vae.models.autoencoder import Autoencoder
from recsys_vae.models.conditional_vae import ConditionalVAE, ConditionalVAEConfig
from recsys_vae.models.mult_vae import MultVAE, MultVAEConfig
from recsys_vae.recommender import CONTENT, HISTORY, POPULAR, POSTERIOR, PRIOR, SEGMENT, FallbackChain
from service.app import create_app
from service.deployment.bundle_sources import warmed_up
from service.settings import Settings
from tests.service.tiny import ITEMS, MATRIX, METADATA, POPULARITY, fill
from tests.worlds import csr

POST = "/v1/recommendations"
RECORDS = [{"country": "NZ" if user < 3 else "FR", "age": 20 + user} for user in range(6)]
SCHEMA = Schema.learn([Field("country", "category"), Field("age", "number")], RECORDS)
SEGMENTS = SegmentPopularity.learn(
    csr([np.flatnonzero(row).tolist() for row in MATRIX], 8),
    SCHEMA.encode(RECORDS),
    np.array([True, True, False, False]),
    shrinkage=1.0,
)
RUNGS = TierPolicy(
    described=(TierThreshold(0, PRIOR), TierThreshold(1, POSTERIOR), TierThreshold(4, HISTORY)),
    bare=(TierThreshold(0, POPULAR), TierThreshold(1, HISTORY)),
    content=True,
)


def conditional() -> ConditionalVAE:
    """With fresh weights."""
    torch.manual_seed(0)
    return ConditionalVAE(8, ConditionalVAEConfig(hidden=8, latent=4, prior_hidden=4, metadata=SCHEMA.widths))


def hybrid() -> MultVAE:
    """With fresh weights, those of metadata among them."""
    torch.manual_seed(0)
    model = MultVAE(8, MultVAEConfig(hidden=8, latent=4, user_metadata=True, metadata=SCHEMA.widths))
    assert model.encoder_in.of_user is not None
    torch.nn.init.normal_(model.encoder_in.of_user.weight)
    return model


def write_described_bundle(directory: Path, policy: TierPolicy = RUNGS, model: Autoencoder | None = None) -> Path:
    """A bundle over the tiny world, of a conditional VAE where no model is given; nobody has touched h."""
    popularity = POPULARITY.copy()
    popularity[7] = 0
    write_bundle(
        directory, model or conditional(), IdMap.from_values(ITEMS), popularity=popularity,
        provenance=Provenance(dataset="tiny"), item_table=METADATA, tiers=Tiers(policy, SCHEMA, SEGMENTS),
    )  # fmt: skip
    return directory


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_described_bundle(tmp_path_factory.mktemp("described") / "bundle")


@pytest.fixture(scope="module")
def client(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    store = f"sqlite:///{tmp_path_factory.mktemp('store')}/events.db"
    fill(store)
    with TestClient(create_app(Settings(bundle=bundle, store=store))) as opened:
        yield opened


def ask(client: TestClient, **asked: Any) -> dict[str, Any]:
    answer = client.post(POST, json={"k": 8, **asked})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_user_of_whom_only_metadata_are_known_gets_what_the_offline_fallback_chain_gives(
    client: TestClient, bundle: Path
) -> None:
    body = ask(client, user_id="never seen", metadata={"country": "NZ", "age": 21})
    assert body["tier"] == PRIOR
    chain = FallbackChain(Bundle.load(bundle))
    offline = chain.recommend(csr([[]], 8), 8, metadata=SCHEMA.encode([{"country": "NZ", "age": 21}]))
    assert [item["item_id"] for item in body["items"]] == chain.bundle.items.ids(offline.rows[0])
    assert [item["score"] for item in body["items"]] == pytest.approx(offline.scores[0].tolist(), rel=1e-4)


@pytest.mark.parametrize(
    ("asked", "tier"),
    [
        ({"history": ["a"], "metadata": {"country": "NZ"}}, POSTERIOR),
        ({"history": ["a", "b", "c", "d"], "metadata": {"country": "NZ"}}, HISTORY),
        ({"history": ["a"]}, HISTORY),
        ({"history": ["h"], "metadata": {"country": "NZ"}}, CONTENT),
        ({"history": ["no such"], "metadata": {"country": "NZ"}}, PRIOR),
        ({"history": ["no such"]}, POPULAR),
        ({"user_id": "u0", "metadata": {"age": 30}}, POSTERIOR),
        ({}, POPULAR),
    ],
)
def test_the_answer_names_its_tier(client: TestClient, asked: dict[str, Any], tier: str) -> None:
    body = ask(client, **asked)
    assert body["tier"] == tier
    assert {item["source"] for item in body["items"] if item["item_id"] != "h"} == {tier}
    new = [item["source"] for item in body["items"] if item["item_id"] == "h"]
    assert new in ([], [POPULAR if tier == POPULAR else CONTENT])
    assert f'recsys_answers_total{{tier="{tier}"}}' in client.get("/metrics").text


def test_metadata_that_say_nothing_are_named_and_count_as_missing(client: TestClient) -> None:
    odd = {"country": "Atlantis", "age": "old", "shoe": 43}
    body = ask(client, metadata=odd)
    assert body["tier"] == POPULAR
    messages = [warning["message"] for warning in body["warnings"] if warning["code"] == "unknown_metadata"]
    assert messages == [
        "1 entries of metadata are no fields of the model in service, and count as missing: shoe.",
        "2 entries of metadata hold values that it has not learned, and count as missing: country, age.",
    ]


def test_nothing_left_after_filters_is_an_empty_list(client: TestClient) -> None:
    nothing = {"op": "eq", "column": "genre", "value": "opera"}
    body = ask(client, metadata={"country": "NZ"}, filter=nothing)
    assert body["items"] == []
    assert "fewer_items_than_k" in [warning["code"] for warning in body["warnings"]]


def test_lists_by_metadata_take_boosts_diversity_explanations_and_pages(client: TestClient) -> None:
    described = {"metadata": {"country": "FR"}}
    boosted = ask(client, **described, boost=[{"by": "add", "value": 1e4, "items": ["d"]}])
    assert boosted["items"][0]["item_id"] == "d"
    assert len(ask(client, **described, diversity=0.5)["items"]) == 8
    assert all(item["because"] == [] for item in ask(client, **described, explain=True)["items"])
    explained = ask(client, **described, history=["a", "b"], explain=True)["items"]
    assert {cause["item_id"] for item in explained for cause in item["because"]} <= {"a", "b"}
    first = ask(client, **described, k=3)
    rest = ask(client, **described, k=5, cursor=first["next_cursor"])
    whole = [item["item_id"] for item in ask(client, **described)["items"]]
    assert [item["item_id"] for item in first["items"] + rest["items"]] == whole


def test_segment_popularity_answers_where_the_rungs_say_so(tmp_path: Path) -> None:
    policy = TierPolicy(
        described=(TierThreshold(0, SEGMENT), TierThreshold(1, HISTORY)),
        bare=(TierThreshold(0, POPULAR), TierThreshold(2, HISTORY)),
    )
    path = write_described_bundle(tmp_path / "bundle", policy)
    with TestClient(create_app(Settings(bundle=path, store=f"sqlite:///{tmp_path}/events.db"))) as opened:
        body = ask(opened, metadata={"country": "FR"})
        short = ask(opened, history=["a"])
    assert (body["tier"], body["scorer"]) == (SEGMENT, "segment-popularity")
    assert (short["tier"], short["warnings"][0]["code"]) == (POPULAR, "history_not_used")
    assert "a" not in [item["item_id"] for item in short["items"]]
    expected = SEGMENTS.score(SCHEMA.encode([{"country": "FR"}]))[0]
    assert [item["item_id"] for item in body["items"]] == [ITEMS[row] for row in np.argsort(-expected, kind="stable")]


@pytest.mark.parametrize("model", [conditional, hybrid])
def test_popularity_beside_the_model_is_served_as_it_is_evaluated(
    model: Callable[[], Autoencoder], tmp_path: Path
) -> None:
    described = (TierThreshold(0, PRIOR, 1.0), TierThreshold(1, POSTERIOR, 0.5))
    policy = TierPolicy(described, (TierThreshold(0, POPULAR), TierThreshold(1, HISTORY, 0.25)), content=True, lift=1.0)
    path = write_described_bundle(tmp_path / "bundle", policy, model())
    chain, told = FallbackChain(Bundle.load(path)), {"country": "NZ", "age": 21}
    questions: list[tuple[list[str], dict[str, Any]]] = [
        ([], told), (["a"], told), (["a"], {"country": "FR", "age": 21}), (["a"], {}), (["h"], told),
        (["a"], {"country": "Atlantis"}), (["no such"], {}),
    ]  # fmt: skip
    lists = []
    with TestClient(create_app(Settings(bundle=path, store=f"sqlite:///{tmp_path}/events.db"))) as opened:
        for history, metadata in questions:
            body = ask(opened, history=history, metadata=metadata)
            known = csr([[ITEMS.index(item) for item in history if item in ITEMS]], 8)
            offline = chain.recommend(known, 8, metadata=SCHEMA.encode([metadata]))
            rows = offline.rows[0][offline.rows[0] >= 0]
            assert body["tier"] == offline.tiers[0]
            assert body["scorer"] == ("popularity" if body["tier"] == POPULAR else chain.bundle.manifest.model)
            assert [item["item_id"] for item in body["items"]] == chain.bundle.items.ids(rows)
            lists.append([item["score"] for item in body["items"]])
    assert lists[1] != lists[2]  # metadata change the answer
    assert lists[3] == lists[5]  # an unseen category is none


def test_a_bundle_is_warmed_up_on_every_tier(bundle: Path) -> None:
    assert warmed_up(Bundle.load(bundle)).tiers == (POSTERIOR, HISTORY, PRIOR, CONTENT, SEGMENT, POPULAR)


@pytest.fixture(scope="module")
def swayed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service whose bundle lets popularity count, much in short histories and not in long ones."""
    folder = tmp_path_factory.mktemp("swayed")
    own = (TierThreshold(0, PRIOR, 20.0), TierThreshold(1, POSTERIOR, 20.0), TierThreshold(3, POSTERIOR))
    path = write_described_bundle(
        folder / "bundle", TierPolicy(own, (TierThreshold(0, POPULAR), TierThreshold(1, HISTORY, 20.0)))
    )
    with TestClient(create_app(Settings(bundle=path, store=f"sqlite:///{folder}/events.db"))) as opened:
        yield opened


def test_explanations_say_where_popularity_and_not_the_history_pushed_an_item_up(swayed: TestClient) -> None:
    found = ask(swayed, history=["e"], k=2, explain=True)["items"]
    plain = ask(swayed, history=["e"], k=2)["items"]
    assert [item["item_id"] for item in found] == ["a", "b"]  # what most users touched
    model = conditional()
    scores = model.score(csr([[4]], 8))[0]
    scores[4] = -np.inf
    unaided = {ITEMS[row] for row in np.argsort(-scores)[:2]}
    assert [item["pushed_by"] for item in found] == [
        "history" if item["item_id"] in unaided else "popularity" for item in found
    ]
    assert "popularity" in [item["pushed_by"] for item in found]
    assert all(item["because"] == [] for item in found if item["pushed_by"] == "popularity")
    assert all("pushed_by" not in item for item in plain)


def test_explanations_name_what_else_may_push_an_item_up(swayed: TestClient) -> None:
    told = {"country": "NZ"}
    asked: dict[str, dict[str, Any]] = {
        "popularity": {},
        "history": {"history": ["a", "b", "c"], "metadata": told},
        "metadata": {"metadata": told},  # of all items, so that none is there for its popularity
    }
    for reason, body in asked.items():
        assert {item["pushed_by"] for item in ask(swayed, **body, explain=True)["items"]} == {reason}


def test_metadata_of_a_request_are_encoded_once(swayed: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []
    encode = Schema.encode

    def counted(self: Schema, records: Any) -> Any:
        encoded.append(len(records))
        return encode(self, records)

    monkeypatch.setattr(Schema, "encode", counted)
    ask(swayed, history=["a"], metadata={"country": "NZ", "age": "?"}, explain=True)
    assert encoded == [1]
