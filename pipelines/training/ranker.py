"""What a bundle's second stage learns: from what held-out users took of the candidates that several bundles find."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.recency import recency_in_window
from pipelines.dataset.splits import load_split, read_manifest
from pipelines.dataset.user_features import UserMetadata
from pipelines.evaluation.cautions import ENOUGH_USERS
from pipelines.evaluation.eligibility import check_eligible
from pipelines.evaluation.impressions import Outcomes, read_outcomes
from pipelines.evaluation.repeats import part_start
from pipelines.training.publish import split_of
from recsys_vae.bundles.bundle import Bundle
from recsys_vae.bundles.second_stage import check_further, counted_columns, last_days, moved
from recsys_vae.data.histories import binary_histories
from recsys_vae.errors import BundleError, EmptyDataError
from recsys_vae.evaluation.entries import contains
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.protocols import Float32Array, Recommender
from recsys_vae.recommender import RANKED, FallbackChain
from recsys_vae.second_stage.candidates import Candidates, Pairs
from recsys_vae.second_stage.item_columns import ItemColumns, number_columns, value_columns
from recsys_vae.second_stage.learning import LearningConfig, Lists, learn, ndcg
from recsys_vae.second_stage.ranker import Ranker

PART = "validation"
AT_ONCE = 512
"""Users whose candidates are made at once."""


@dataclass(frozen=True, eq=False)
class LearnedRanker:
    """A second stage and what it was learned from.

    Attributes:
        ranker: it.
        users: how many whose lists counted.
        pairs: candidates, or impressions, of theirs.
        found: share of what they took that is among the candidates; of impressions, 1.
        before: NDCG of these lists in the order of the first stage.
        after: the same by trees that have not seen the user.
    """

    ranker: Ranker
    users: int
    pairs: int
    found: float
    before: float
    after: float

    @property
    def cautions(self) -> list[str]:
        """What speaks against the trees."""
        found = []
        if self.users < ENOUGH_USERS:
            found.append(
                f"The trees learn from {self.users:,} users and are judged by them: fewer than {ENOUGH_USERS} teach "
                "little, and say little. Hold out more users, or gather more impressions."
            )
        if self.after < self.before:
            found.append(
                f"The first stage alone is better for users that the trees have not seen ({self.before:.4f} against "
                f"{self.after:.4f}): leave the second stage out."
            )
        return found


def learn_ranker(
    bundle: Bundle,
    others: Sequence[Bundle],
    dataset: DatasetDir,
    *,
    impressions: Path | None = None,
    depth: int = 200,
    config: LearningConfig | None = None,
) -> LearnedRanker:
    """Learn a second stage on the validation part of the split that the bundles were trained on.

    Args:
        bundle: the first stage that answers where no candidate does.
        others: whose models find candidates, too.
        dataset: that they were trained on.
        impressions: what the users of the validation part were shown in its window; without, what they took counts.
        depth: candidates of each model.
        config: how trees are learned.

    Raises:
        BundleError: a bundle has seen the validation part, or they are of different splits or items.
        DataError: another bundle's model needs more than histories, or nobody took a candidate.
    """
    config, name, bundle = config or LearningConfig(), split_of(bundle), replace(bundle, ranker=None)
    split, manifest = load_split(dataset, name, bundle.signals.half_life), read_manifest(dataset, name)
    for one in (bundle, *others):
        check_eligible(one, dataset, manifest, split, PART)
    asked = split.validation
    if bundle.tiers.schema is not None:
        asked = UserMetadata(dataset, bundle.tiers.schema).of(asked)
    since, windows = part_start(manifest, PART), bundle.shelves.lists.windows
    if since is not None and windows is not None and windows.last_days is not None:
        asked = replace(asked, recency=recency_in_window(dataset, asked.users, since))
    outcomes = None if impressions is None else read_outcomes(impressions, asked.users, bundle.items)
    has_position = outcomes is not None and outcomes.positions is not None
    candidates = candidates_of(bundle, others, depth, has_position=has_position, has_recency=asked.recency is not None)
    if outcomes is None:
        lists, found = _taken(bundle, candidates, asked)
    else:
        lists, found = _shown(bundle, candidates, asked, outcomes), 1.0
    learned = learn(lists, config)
    scores = learned.lists.features[:, 0]
    return LearnedRanker(
        Ranker(candidates, learned.trees),
        len(np.unique(learned.lists.users)),
        len(learned.lists.users),
        found,
        ndcg(learned.lists, scores, config.at),
        ndcg(learned.lists, learned.held_out_scores, config.at),
    )


def with_trees_of(measured: Bundle, bundle: Bundle, others: Sequence[Bundle]) -> Ranker:
    """The second stage of bundles that were measured, for bundles of the same models that have learned from all data.

    Raises:
        BundleError: it has none, it is of other models, or the bundles are of different items.
        DataError: the items lack a column that it ranks by.
    """
    if measured.ranker is None:
        raise BundleError(f"{measured.version} has no second stage whose trees could be taken.")
    old = measured.ranker.candidates
    wanted, given = (old.first, *(name for name, _ in old.further)), tuple(_models(bundle, others))
    if wanted != given:
        raise BundleError(
            f"The trees of {measured.version} rank what {', '.join(wanted)} find, in this order; got the models "
            f"{', '.join(given)}."
        )
    return put_onto(measured.ranker, bundle, others)


def put_onto(ranker: Ranker, bundle: Bundle, others: Sequence[Bundle]) -> Ranker:
    """The trees of a second stage over other bundles of the same models.

    Raises:
        BundleError: the bundles are of different items.
        DataError: the items lack a column that it ranks by.
    """
    return moved(ranker, _further(bundle, others), bundle.item_table, bundle.shelves.lists, bundle.popularity)


def candidates_of(
    bundle: Bundle,
    others: Sequence[Bundle],
    depth: int,
    *,
    has_position: bool = False,
    has_recency: bool = False,
) -> Candidates:
    """What makes candidates of the models of bundles over one catalogue, by all columns of its items that can be used.

    Raises:
        BundleError: their items are not the same.
        DataError: a further model needs more than histories.
    """
    table, counted = bundle.item_table, _counted(bundle)
    numbers = (*counted, *(name for name in number_columns(table) if name not in counted))
    columns = ItemColumns.of(table, counted, numbers, value_columns(table))
    days = last_days(bundle.shelves.lists, is_wanted=has_recency)
    return Candidates(bundle.manifest.model, _further(bundle, others), columns, depth, has_position, days)


def _models(bundle: Bundle, others: Sequence[Bundle]) -> list[str]:
    return [one.manifest.model for one in (bundle, *others)]


def _counted(bundle: Bundle) -> dict[str, Float32Array]:
    return counted_columns(bundle.shelves.lists, bundle.popularity)


def _further(bundle: Bundle, others: Sequence[Bundle]) -> list[tuple[str, Recommender]]:
    for other in others:
        check_further(other.version, other.model)
        if other.items != bundle.items:
            raise BundleError(
                f"{other.version} has other items than {bundle.version}. Train both on the same data: on one split, or "
                "on all."
            )
    return [(other.manifest.model, other.model) for other in others]


def _asked(bundle: Bundle, candidates: Candidates, asked: HeldOut, beside: csr_array | None) -> Iterator[Pairs]:
    """Pairs of the users whose candidates a second stage puts in order, a number of users at once."""
    chain = FallbackChain(bundle)
    for start in range(0, len(asked.users), AT_ONCE):
        rows = np.arange(start, min(start + AT_ONCE, len(asked.users)))
        some = asked.take(rows)
        users = chain.encode(some.shown, some.metadata, some.order)
        chosen = np.flatnonzero(np.isin(users.tier_names, RANKED))
        if len(chosen):
            theirs = users[chosen]
            wanted = None if beside is None else beside[rows[chosen]]
            recency = None if asked.recency is None else asked.recency[rows[chosen]]
            pairs = candidates.of(chain.scores(theirs), theirs.histories, wanted, recency)
            yield replace(pairs, users=rows[chosen][pairs.users])


def _taken(bundle: Bundle, candidates: Candidates, asked: HeldOut) -> tuple[Lists, float]:
    """The candidates of each user, and which of them are among the targets; and the share of targets among them."""
    parts = list(_asked(bundle, candidates, asked, None))
    if not parts:
        raise EmptyDataError("No user of the validation part has a history that the model answers by.")
    users, items = (np.concatenate([getattr(part, name) for part in parts]) for name in ("users", "items"))
    taken = contains(asked.targets, users * asked.targets.shape[1] + items)
    n_targets = asked.targets[np.unique(users)].nnz
    return Lists(np.concatenate([part.features for part in parts]), taken, users, users), taken.sum() / max(
        n_targets, 1
    )


def _shown(bundle: Bundle, candidates: Candidates, asked: HeldOut, outcomes: Outcomes) -> Lists:
    """The impressions of each user, each with the features that it has among the user's candidates."""
    n_items = asked.targets.shape[1]
    keys = outcomes.users * n_items + outcomes.items
    beside = binary_histories(outcomes.users, outcomes.items, len(asked.users), n_items)
    features, found = [], []
    for pairs in _asked(bundle, candidates, asked, beside):
        theirs = pairs.users * n_items + pairs.items
        wanted = np.isin(theirs, keys)
        features.append(pairs.features[wanted])
        found.append(theirs[wanted])
    if not found:
        raise EmptyDataError("No impression is of a user of the validation part who has a history.")
    known = np.concatenate(found)  # ascending, as users and items are
    places = np.searchsorted(known, keys).clip(max=len(known) - 1)
    order = np.flatnonzero(known[places] == keys)
    order = order[np.argsort(outcomes.lists[order], kind="stable")]
    shown = np.concatenate(features)[places[order]]
    if outcomes.positions is not None:
        shown[:, -1] = outcomes.positions[order]
    return Lists(shown, outcomes.taken[order], outcomes.lists[order], outcomes.users[order])
