"""A linear model in a shop where nearly everybody has one item: what is served is no worse than the model alone."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipelines.dataset.fields import Fields
from pipelines.dataset.matrices import encode
from pipelines.dataset.user_features import UserMetadata
from pipelines.training.fallback_policy import Chosen, choose_tiers
from pipelines.training.tier_selection import Measured, OnTier, choose, loses
from recsys_vae.bundles.bundle import Bundle, Tiers, write_bundle
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.bundles.tier_policy import HISTORY, POPULAR, SEGMENT, TierThreshold
from recsys_vae.data.features import CATEGORY, Field
from recsys_vae.data.interactions import Interactions
from recsys_vae.evaluation.cold_start import ColdStartUsers
from recsys_vae.evaluation.evaluate import evaluate, standard_error
from recsys_vae.models.ease import EASE, EASEConfig
from recsys_vae.recommender import FallbackChain
from tests.pipelines import logs_of_tastes
from tests.worlds import csr

N_ITEMS = 31
GROUPS = 5


def baskets(n: int, seed: int) -> list[list[int]]:
    """Three to five items of one group of six, and for four in five users item 30, somewhere in between."""
    rng, found = np.random.default_rng(seed), []
    for user in range(n):
        items = [int(item) + 6 * (user % GROUPS) for item in rng.permutation(6)[: rng.integers(3, 6)]]
        if rng.random() < 0.8:
            items.insert(int(rng.integers(len(items))), 30)
        found.append(items)
    return found


class Shop:
    """A trained EASE, what it learned from, users to choose on and others to look at."""

    def __init__(self, folder: Path) -> None:
        pairs = [(f"u{user:04}", f"i{item:02}") for user, items in enumerate(baskets(400, 0)) for item in items]
        dataset = logs_of_tastes.dataset(folder / "shop", pl.DataFrame(pairs, ["user_id", "item_id"], orient="row"))
        users = [f"u{user:04}" for user in range(400)] + [f"v{user:04}" for user in range(200)]
        lands = np.random.default_rng(5).choice(["NZ", "FR"], len(users))  # it says nothing
        pl.DataFrame({"user_id": users, "land": lands}).write_parquet(dataset.users_path)
        Fields(users=(Field("land", CATEGORY),)).write(dataset.fields_path)
        self.learned_from: Interactions = encode(dataset.interactions())
        self.model = EASE(N_ITEMS, EASEConfig(l2=20.0))
        self.model.fit(self.learned_from.matrix)
        self.known = UserMetadata.learn(dataset, self.learned_from.users)

    def cold_start_users(self, seed: int) -> ColdStartUsers:
        lists = baskets(200, seed)
        users = encode(pl.LazyFrame({"user_id": [f"v{u:04}" for u in range(200)], "item_id": ["i00"] * 200})).users
        places = csr([items[:-1] for items in lists], N_ITEMS)
        order = {(user, item): place for user, items in enumerate(lists) for place, item in enumerate(items, 1)}
        rows = np.repeat(np.arange(200), np.diff(places.indptr))
        places.data = np.array(
            [order[user, item] for user, item in zip(rows.tolist(), places.indices.tolist(), strict=True)], np.float32
        )
        return ColdStartUsers(
            users, places, csr([items[-1:] for items in lists], N_ITEMS), self.known.rows(users.values)
        )

    def choose(self) -> Chosen:
        return choose_tiers(self.model, self.learned_from, self.known, self.cold_start_users(1), "recall@3")

    def served(self, chosen: Chosen) -> FallbackChain:
        counts = self.learned_from.item_counts()
        return FallbackChain(Bundle.unwritten(self.model, self.learned_from.items, counts, chosen.tiers))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shops"))


def test_what_is_served_to_users_with_a_history_is_not_below_the_model_alone(shop: Shop) -> None:
    chosen = shop.choose()
    chain = shop.served(chosen)
    for seed in (1, 2):  # those chosen on, and others
        asked = shop.cold_start_users(seed).asked(10)
        served, bare = (evaluate(scorer, asked, ["recall@3"]) for scorer in (chain, shop.model))
        gap = served.per_user["recall@3"] - bare.per_user["recall@3"]
        assert gap.mean() >= -standard_error(gap)


def test_temperature_and_weights_stand_in_the_manifest(shop: Shop, tmp_path: Path) -> None:
    tiers = shop.choose().tiers
    assert 0.01 < tiers.policy.temperature < 0.5  # scores of EASE are far below log-probabilities
    weighted = replace(tiers.policy, bare=(TierThreshold(0, POPULAR), TierThreshold(1, HISTORY, 0.02)))
    counts, items = shop.learned_from.item_counts(), shop.learned_from.items
    tiers, path = replace(tiers, policy=weighted), tmp_path / "bundle"
    write_bundle(path, shop.model, items, popularity=counts, provenance=Provenance(), tiers=tiers)
    chain = json.loads((path / "manifest.json").read_text())["ladder"]
    assert chain["temperature"] == tiers.policy.temperature
    assert chain["bare"] == [[0, "popular"], [1, "history", 0.02]]
    assert Bundle.load(path).tiers.policy == weighted


def test_without_a_temperature_a_small_weight_already_swamps_linear_scores(shop: Shop) -> None:
    chain, asked = shop.served(shop.choose()), shop.cold_start_users(1).asked(10)
    raw = FallbackChain(
        Bundle.unwritten(shop.model, shop.learned_from.items, shop.learned_from.item_counts(), _raw(chain))
    )
    scaled, swamped = (evaluate(OnTier(one, HISTORY, 0.25), asked, ["recall@3"]) for one in (chain, raw))
    assert scaled.means["recall@3"] > swamped.means["recall@3"]


def _raw(chain: FallbackChain) -> Tiers:
    tiers = chain.bundle.tiers
    return replace(tiers, policy=replace(tiers.policy, temperature=1.0))


def test_what_loses_by_more_than_its_noise_is_not_chosen_at_any_length() -> None:
    bare = np.array([0.2, 0.4, 0.6, 0.8])
    lower, noisy, higher = bare - 0.1, bare + np.array([0.9, -0.9, 0.3, -0.4]), bare + 0.01
    found = {(HISTORY, 0.0): bare, (HISTORY, 0.5): lower, (HISTORY, 0.1): noisy, (POPULAR, 0.0): lower}
    assert [loses(this, found) for this in found] == [False, True, False, True]
    first = {(POPULAR, 0.0): bare, (SEGMENT, 0.0): lower}
    tempting = {(HISTORY, 0.0): bare, (HISTORY, 0.5): bare + 10}
    measured = Measured({0: first, 1: tempting, 5: found}, {})
    assert choose(measured.harmless) == (
        TierThreshold(0, POPULAR),
        TierThreshold(1, HISTORY, 0.5),
        TierThreshold(5, HISTORY),
    )
    # Nothing is held against what answers nobody with a history.
    assert measured.harmless[0] == measured.means[0]
    # Those who end at a length count besides those who are cut back to it.
    ending = {(HISTORY, 0.0): bare, (HISTORY, 0.5): lower}
    for length in (1, 5):
        measured = Measured({0: first, 1: tempting, 5: tempting}, {length: ending})
        expected = [TierThreshold(0, POPULAR), TierThreshold(1, HISTORY, 0.5), TierThreshold(5, HISTORY)]
        assert choose(measured.harmless) == ((expected[0], TierThreshold(1, HISTORY)) if length == 1 else (*expected,))
    assert not loses((HISTORY, 0.5), {(HISTORY, 0.0): bare, (HISTORY, 0.5): higher})
