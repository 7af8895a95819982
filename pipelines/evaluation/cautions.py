"""Cautions: what to know of figures that come from too little, and what would give better ones."""

from collections.abc import Iterable

from pipelines.dataset.splits import SplitManifest
from recsys_vae.data.columns import ORDER
from recsys_vae.evaluation.metrics import parse_metric

ENOUGH_USERS = 30
"""Below, neither a standard error nor the quantiles of a bootstrap say much."""
LARGEST_SHARE = 0.5
"""Of the catalogue that a list may hold before it is hardly a choice any more."""
FEWEST_ITEMS = 2
"""Of a user who can be asked: one is shown, one is the target."""
NO_MORE = "The log holds no more users with two items and more: figures that one can trust take a larger one."


def of_split(manifest: SplitManifest) -> list[str]:
    """What to know of a split before training on it."""
    asked = {part: manifest.sizes[part]["users"] for part in ("validation", "test")}
    few = {part: users for part, users in asked.items() if users < ENOUGH_USERS}
    return [f"The {part} part asks {_few(users)} {_more_users(manifest, users)}" for part, users in few.items()]


def of_figures(n_users: int, n_items: int, metrics: Iterable[str], manifest: SplitManifest) -> list[str]:
    """What to know of the figures of an evaluation.

    Args:
        n_users: who were asked.
        n_items: of the catalogue.
        metrics: their names.
    """
    cautions = []
    if n_users < ENOUGH_USERS:
        cautions.append(f"The figures come from {_few(n_users)} {_more_users(manifest, n_users)}")
    long = [metric.name for metric in map(parse_metric, metrics) if (metric.k or 0) > LARGEST_SHARE * n_items]
    if long:
        k = max(1, n_items // 10)
        cautions.append(
            f"{', '.join(long)}: such lists hold most of the catalogue of {n_items:,} items, so every model does well. "
            f"Choose a smaller k, as in recall@{k} or ndcg@{k}."
        )
    return cautions


def _few(users: int) -> str:
    if users == 1:
        return "one user: nothing says how sure they are."
    return f"{users:,} users: standard errors and intervals of fewer than {ENOUGH_USERS} are rough."


def _more_users(manifest: SplitManifest, n_users: int) -> str:
    """What would ask more users than these, as far as the dataset allows it."""
    recipe = manifest.recipe
    match recipe.protocol:
        case "strong":
            total = sum(manifest.sizes[part]["users"] for part in ("train", "validation", "test"))
            wanted = max(1, min(ENOUGH_USERS, total // 4))
            ways = [f"hold out more users (--heldout {wanted})"] if wanted > n_users else []
            if recipe.min_items > FEWEST_ITEMS and manifest.counts.get("users_with_too_few_items"):
                ways.append(f"let in those with fewer items than {recipe.min_items} (--min-items)")
            if ORDER in manifest.sizes["train"]:
                ways.append("ask everybody who has two: --protocol last-out")
            return f"{_either(ways)}." if ways else NO_MORE
        case "temporal":
            return "Make the windows longer, or ask everybody who has two items: --protocol last-out."
        case "last-out":
            return NO_MORE
    return "The published test part has no more."


def _either(ways: list[str]) -> str:
    """`A, b or c`, as a sentence begins."""
    *others, last = ways
    found = f"{', '.join(others)}, or {last}" if others else last
    return found[0].upper() + found[1:]
