"""The cold-start benchmark, served: does a running service give the lists of the offline evaluation?

The bundle of one seed is written and served by a process of its own. The test users are asked about as if the store had
never seen them: their first items and their demographics come with the request. A list agrees when at every rank it has
the offline item, or one whose score is within 1e-5 of the list's largest.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from pipelines.training.fallback_policy import choose_tiers
from recsys_vae.bundles.bundle import Bundle, write_bundle
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.data.columns import USER
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.recommender import Answers, FallbackChain
from service.client.client import Client
from service.schemas.recommendations import RecommendationRequest, Recommendations
from tests.benchmarks.cold_start_world import DATASET, cold_start_users, dataset, fitted, known, split
from tests.benchmarks.service_processes import serving

SERVED_LENGTHS = (0, 1, 5)
K = 100
AT_ONCE = 100
TOLERANCE = 1e-5


def measure_served(seed: int = 0) -> dict[str, Any]:
    """How many lists agree, by length of the history, and which tiers answered."""
    with TemporaryDirectory() as folder:
        path = written_bundle(Path(folder) / "bundle", seed)
        chain = FallbackChain(Bundle.load(path))
        with serving(path, f"sqlite:///{folder}/events.db") as server, Client(server.url, timeout=60) as client:
            return {
                str(length): compared(client, chain, cold_start_users("test").asked(length))
                for length in SERVED_LENGTHS
            }


def written_bundle(path: Path, seed: int) -> Path:
    """The bundle of the conditional VAE."""
    train, validation = split().train, cold_start_users("validation")
    model = fitted(seed, train.matrix, validation).model
    tiers = choose_tiers(model, train, known(), validation, "ndcg@100").tiers
    origin = Provenance(dataset=DATASET, trained_on="split:strong/train")
    write_bundle(path, model, train.items, popularity=train.item_counts(), provenance=origin, tiers=tiers)
    return path


def compared(client: Client, chain: FallbackChain, part: HeldOut) -> dict[str, Any]:
    """Served lists beside offline ones."""
    offline = chain.recommend(part.histories, K, metadata=part.metadata)
    requests = requests_of(chain, part)
    served: list[Recommendations] = []
    for start in range(0, len(requests), AT_ONCE):
        results = client.recommend_to_many(requests[start : start + AT_ONCE]).results
        served += [result.answer for result in results if result.answer is not None]
    same = [agrees(chain, one, offline, user) for user, one in enumerate(served)]
    tiers = sorted({(one.tier, offline.tiers[user]) for user, one in enumerate(served)})
    return {"lists": len(requests), "answered": len(served), "agree": sum(same), "tiers": tiers}


def requests_of(chain: FallbackChain, part: HeldOut) -> list[RecommendationRequest]:
    """One request a user, of whom the store knows nothing."""
    names = [block.name for block in known().schema.blocks]
    table = dataset().table(dataset().users_path).select(USER, *names).collect()
    records = {row.pop(USER): row for row in table.to_dicts()}
    return [
        RecommendationRequest(
            user_id=f"new {user}", history=list(items_of(chain, part, row)), metadata=records[user], k=K
        )
        for row, user in enumerate(part.users.values)
    ]


def items_of(chain: FallbackChain, part: HeldOut, row: int) -> Sequence[str]:
    """Ids of a user's shown items."""
    return chain.bundle.items.ids(part.histories[[row]].indices)


def agrees(chain: FallbackChain, one: Recommendations, offline: Answers, user: int) -> bool:
    """Whether a served list is the offline one but for scores that rounding cannot tell apart."""
    ids, scores = chain.bundle.items.ids(offline.rows[user]), offline.scores[user]
    if [item.item_id for item in one.items] == ids:
        return True
    theirs = np.array([item.score for item in one.items])
    return len(theirs) == len(scores) and bool((np.abs(theirs - scores) <= TOLERANCE * np.abs(scores).max()).all())
