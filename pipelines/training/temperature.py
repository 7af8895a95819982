"""Temperature: what a model's scores are divided by to be log-probabilities, fitted on validation users by likelihood.

    -log p = mean over users, and over the targets t of each, of  log sum_i exp(s_i / T) - s_t / T

over the items that are not in the user's history. It is convex in 1 / T, whose root of the derivative is bisected.

Source: temperature scaling: Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 4.2.
"""

import numpy as np

from recsys_vae.evaluation import entries
from recsys_vae.evaluation.evaluate import scores_of
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.protocols import BoolArray, Float32Array, Int64Array, Scorer

MOST_SCORES = 2**23
"""Scores that are held to fit it."""
FEWEST_USERS = 32
RANGE = (1e-3, 1e3)
"""Of 1 / T, in units of the inverse of the scores' standard deviation."""
STEPS = 24


def fit_temperature(model: Scorer, held_out: HeldOut) -> float:
    """T, above 0, to four digits; 1 where nobody has both history and targets, or all scores are the same.

    Args:
        held_out: asked with the histories that count; where they are many, evenly drawn ones are taken.
    """
    rows = _asked(held_out, max(FEWEST_USERS, MOST_SCORES // model.n_items))
    if not rows.size:
        return 1.0
    asked = held_out.take(rows)
    histories, targets = asked.histories, asked.targets
    scores = np.array(scores_of(model, asked))
    seen = np.zeros(scores.shape, dtype=np.bool_)
    seen[entries.entry_rows(histories), histories.indices] = True
    scores -= np.where(seen, -np.inf, scores).max(axis=1, keepdims=True)
    scores[seen] = 0.0
    scale = float(scores[~seen].std())
    if not 0 < scale < np.inf:
        return 1.0
    counts = entries.row_lengths(targets)
    of_targets = scores[entries.entry_rows(targets), targets.indices].astype(np.float64)
    wanted = np.add.reduceat(of_targets, targets.indptr[:-1]) / counts
    low, high = (np.log(bound / scale) for bound in RANGE)
    for _ in range(STEPS):
        middle = (low + high) / 2
        if _expected(scores, seen, float(np.exp(middle))) < wanted.mean():
            low = middle
        else:
            high = middle
    return float(f"{np.exp(-(low + high) / 2):.4g}")


def _asked(held_out: HeldOut, most: int) -> Int64Array:
    """Rows of users with history and targets, at most so many, ascending."""
    rows = np.flatnonzero((entries.row_lengths(held_out.histories) > 0) & (entries.row_lengths(held_out.targets) > 0))
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]


def _expected(scores: Float32Array, seen: BoolArray, sharpness: float) -> float:
    """The mean over users of the score that softmax(sharpness * scores) expects; scores are at most 0."""
    weights = np.exp(scores * np.float32(sharpness))
    weights[seen] = 0.0
    return float(((weights * scores).sum(axis=1, dtype=np.float64) / weights.sum(axis=1, dtype=np.float64)).mean())
