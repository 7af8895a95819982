"""New items in the cold-start benchmark: a tenth of the items is withheld from training and placed by genres and title.

The asked users' input is what is left of their first 20 items, targets are what they touched after these:

- new among new: targets and lists hold withheld items only; beside a random order and popularity by genre (the mean
  number of users of the other items of a genre, averaged over the genres of an item)
- new among all: the same targets, lists of the whole catalogue, a tenth of whose first 20 places new items fill
- warm: targets among the other items, with withheld items in the lists and without them: what mixing them in costs
- content: users shown only the withheld items among their first 20, asked for warm items after these; the lift that
  lets new items be seen is taken off for them

The strength of the ridge regression is chosen on the validation users, by new among new.
"""

import shutil
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.item_features import content_of
from pipelines.evaluation.as_served import OnTier
from pipelines.training.fallback_policy import learn_segments
from pipelines.training.new_items import place
from recsys_vae.bundles.bundle import Bundle, Tiers
from recsys_vae.bundles.tier_policy import TierPolicy
from recsys_vae.data.interactions import Interactions
from recsys_vae.evaluation import entries
from recsys_vae.evaluation.cold_start import ColdStartUsers
from recsys_vae.evaluation.evaluate import evaluate
from recsys_vae.models.autoencoder import Autoencoder
from recsys_vae.models.content import place_new_items
from recsys_vae.protocols import BoolArray, Float32Array, Scorer
from recsys_vae.recommender import CONTENT, POPULAR, POSTERIOR, PRIOR, FallbackChain
from tests.benchmarks.cold_start_world import cold_start_users, dataset, fitted, known, split, written

SHARE = 0.1
RIDGES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
METRIC = "recall@20"
NEW_ITEM_FIGURES = {
    "new among new": ("posterior", "popularity by genre", "random"),
    "new among all": ("posterior", "popularity by genre", "random"),
    "warm": ("mixed", "without new items"),
    "content": ("content", "prior", "popular"),
}


@dataclass(frozen=True, eq=False)
class Allowed:
    """A scorer whose lists hold some of the items only."""

    scorer: Scorer
    items: BoolArray

    @property
    def n_items(self) -> int:
        return self.scorer.n_items

    @property
    def n_features(self) -> int:
        return int(getattr(self.scorer, "n_features", 0))

    def score(self, histories: csr_array, metadata: csr_array | None = None) -> Float32Array:
        scores = self.scorer.score(histories, metadata) if metadata is not None else self.scorer.score(histories)  # type: ignore[call-arg]
        return np.where(self.items, scores, np.float32(-np.inf))


@dataclass(frozen=True)
class Lottery:
    """A random order for each user."""

    n_items: int

    def score(self, histories: csr_array) -> Float32Array:
        return np.random.default_rng(0).random((histories.shape[0], self.n_items), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Same:
    """The same scores for everybody."""

    scores: Float32Array

    @property
    def n_items(self) -> int:
        return len(self.scores)

    def score(self, histories: csr_array) -> Float32Array:
        return np.repeat(self.scores[None, :], histories.shape[0], axis=0)


@cache
def withheld() -> BoolArray:
    """A tenth of the items, drawn once."""
    n = split().train.n_items
    chosen = np.zeros(n, dtype=np.bool_)
    chosen[np.random.default_rng(0).choice(n, int(n * SHARE), replace=False)] = True
    return chosen


def without(matrix: csr_array, items: BoolArray) -> csr_array:
    """The matrix without the entries of some items."""
    return entries.pick(matrix, ~items[matrix.indices])


def asked_about(people: ColdStartUsers, shown: BoolArray, targets: BoolArray) -> ColdStartUsers:
    """The same people: of their first items those among `shown`, of their targets those among `targets`."""
    return replace(people, places=without(people.places, ~shown), targets=without(people.targets, ~targets))


def with_sentences() -> DatasetDir:
    """The same dataset, its titles as vectors of a pretrained encoder (the extra `text`)."""
    path = dataset().path.with_name(f"{dataset().path.name}-sentences")
    shutil.copytree(dataset().path, path, dirs_exist_ok=True)
    fields = path / "fields.json"
    fields.write_text(fields.read_text().replace('"text"', '"sentence"'))
    return DatasetDir.open(str(path))


def measure_new_items(seed: int, *, sentences: bool = False) -> dict[str, Any]:
    """One seed of everything above, items by their genres and the words of the title, or the title as a sentence."""
    new, train, described = withheld(), split().train, with_sentences() if sentences else dataset()
    warm = Interactions(without(train.matrix, new), train.users, train.items)
    validation = asked_about(cold_start_users("validation"), ~new, np.ones_like(new))
    found = fitted(seed, warm.matrix, asked_about(validation, ~new, ~new))
    assert isinstance(found.model, Autoencoder)
    learned, content = found.model.tensors(), content_of(described, train.items)
    values = {}
    for l2 in RIDGES:
        found.model.load_tensors(learned)
        place_new_items(found.model, content, warm.item_counts(), l2=l2)
        values[l2] = mean(Allowed(tall(found.model, warm, POSTERIOR), new), asked_about(validation, ~new, new))
    found.model.load_tensors(learned)
    best = max(values, key=lambda l2: values[l2])
    lift = place(found.model, described, warm, l2=best, seen_by=validation.asked(20).histories)
    chosen = {"epochs": found.epochs, "l2": best, "lift": lift, "validation": values, "items": int(new.sum())}
    return chosen | answered(found.model, warm, content, lift)


def answered(model: Autoencoder, warm: Interactions, content: csr_array, lift: float) -> dict[str, Any]:
    """The test users' values."""
    new, people = withheld(), cold_start_users("test")
    posterior = tall(model, warm, POSTERIOR)
    lottery, genres = Lottery(len(new)), Same(popularity_by_genre(warm, content))
    for_new, for_warm = asked_about(people, ~new, new), asked_about(people, ~new, ~new)
    only_new = asked_about(people, new, ~new)
    only_new = only_new.take(np.flatnonzero(entries.row_lengths(only_new.places)))
    return {
        "new among new": {
            "posterior": values_of(Allowed(posterior, new), for_new),
            "popularity by genre": values_of(Allowed(genres, new), for_new),
            "random": values_of(Allowed(lottery, new), for_new),
        },
        "new among all": {
            "posterior": values_of(posterior, for_new),
            "popularity by genre": values_of(genres, for_new),
            "random": values_of(lottery, for_new),
        },
        "warm": {
            "mixed": values_of(posterior, for_warm),
            "without new items": values_of(Allowed(posterior, ~new), for_warm),
        },
        "content": {name: values_of(tall(model, warm, name, lift), only_new) for name in (CONTENT, PRIOR, POPULAR)},
    }


def tall(model: Autoencoder, warm: Interactions, tier: str, lift: float = 0.0) -> OnTier:
    """One tier of the fallback chain over a model with new items in their places."""
    tiers = Tiers(TierPolicy(content=True, lift=lift), known().schema, learn_segments(warm, known(), 10_000.0))
    return OnTier(FallbackChain(Bundle.unwritten(model, warm.items, warm.item_counts(), tiers)), tier)


def popularity_by_genre(warm: Interactions, content: csr_array) -> Float32Array:
    """Users of an item; of a new one the mean number of a genre's items, averaged over its genres, shape (n_items,)."""
    n_genres = content_of_genres()
    genres, counts = content[:, :n_genres], warm.item_counts()
    familiar = (counts > 0).astype(np.float32)
    means = (genres.T @ counts) / np.maximum(genres.T @ familiar, 1e-9)
    return np.where(counts > 0, counts, genres @ means).astype(np.float32)


def content_of_genres() -> int:
    """Columns of the genres, which come first."""
    from pipelines.dataset.fields import Fields
    from recsys_vae.data.features import Schema

    fields = Fields.read(dataset().fields_path).items[:1]
    records = dataset().table(dataset().items_path).select(fields[0].name).collect().to_dicts()
    return Schema.learn(fields, records).width


def values_of(scorer: Scorer, people: ColdStartUsers) -> str:
    """Values of the users who have something to find, as one line."""
    return written(evaluate(scorer, people.asked(20), [METRIC]).per_user[METRIC])


def mean(scorer: Scorer, people: ColdStartUsers) -> float:
    """Mean over users."""
    return evaluate(scorer, people.asked(20), [METRIC]).means[METRIC]
