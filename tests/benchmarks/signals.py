"""What users do, learned from, in one run: weights and dislikes, iALS, repeats, order, similar items, rules, compare.

    python -m tests.benchmarks.signals [--only signals_weights,signals_compare ...]

Each part is a benchmark of its own, `python -m tests.benchmarks.PART`, whose last line is JSON; the last line here has
the figures of all. What has a record is printed, not measured again. Needs RECSYS_DATA_DIR with MovieLens 1M and
Gowalla, and many hours for all of it.
"""

from tests.benchmarks.parts import run_parts

PARTS: dict[str, tuple[str, ...]] = {
    f"signals_{name}": ()
    for name in ("weights", "ials", "repeat", "sequential", "lists", "metrics", "service", "ranker", "compare")
}
"""Benchmarks and their options."""

if __name__ == "__main__":
    run_parts(__doc__, PARTS)
