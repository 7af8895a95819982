"""Hybrid encoders in the cold-start benchmark: Mult-VAE and RecVAE with metadata, beside the same without.

Settings are those of `make bench-models`, and each epoch is chosen as there, on the validation users with their whole
histories; nothing was tuned for metadata. Users bring gender, age group and occupation, items genres and the words of
the title.
"""

from dataclasses import replace
from typing import Any

from pipelines.dataset.item_features import content_of
from pipelines.evaluation.as_served import OnTier
from pipelines.training.fit import fit
from recsys_vae.bundles.bundle import Bundle, Tiers
from recsys_vae.bundles.tier_policy import TierPolicy
from recsys_vae.evaluation.cold_start import LENGTHS
from recsys_vae.evaluation.evaluate import evaluate
from recsys_vae.recommender import HISTORY, POSTERIOR, FallbackChain
from tests.benchmarks.cold_start_world import METRICS, asked, cold_start_users, dataset, known, split
from tests.benchmarks.models import specified


def measure_model(name: str, seed: int, *, hybrid: bool = False) -> dict[str, Any]:
    """One model, asked at every length; with metadata under the name `NAME hybrid`."""
    train, spec = split().train, specified("ml-1m", name, seed=seed)
    config = replace(spec.config, user_metadata=hybrid, item_metadata=hybrid)
    spec = replace(spec, config=config).with_schema(known().schema)
    validation = known().of(split().validation)
    found = fit(
        spec,
        train.matrix,
        validation=validation,
        metadata=known().rows(train.users.values) if hybrid else None,
        item_metadata=content_of(dataset(), train.items) if hybrid else None,
    )
    tiers = Tiers(TierPolicy(), known().schema if hybrid else None)
    chain = FallbackChain(Bundle.unwritten(found.model, train.items, train.item_counts(), tiers))
    system, scorer = (f"{name} hybrid", OnTier(chain, POSTERIOR)) if hybrid else (name, OnTier(chain, HISTORY))
    return {
        "epochs": found.epochs,
        "training_seconds": found.seconds,
        "validation": evaluate(scorer, validation, METRICS).means,
        "h": {str(length): asked({system: scorer}, cold_start_users("test").asked(length)) for length in LENGTHS},
    }
