"""What users do, learned from, in one run: weights, time, iALS, repeats, order, similar items, rules, compare.

    python -m tests.benchmarks.signals [--only signals_weights,signals_compare ...] [--kept]

Each part is a benchmark of its own, `python -m tests.benchmarks.PART`, whose last line is JSON; the last line here has
the figures of all. What has a record is printed, not measured again; with --kept what has none is left out. Needs
RECSYS_DATA_DIR with MovieLens 1M and Gowalla, and many hours for all of it.
"""

from tests.benchmarks.parts import run_parts

NAMES = "weights weights_time ials repeat sequential lists metrics service ranker compare"
PARTS: dict[str, tuple[str, ...]] = {f"signals_{name}": () for name in NAMES.split()}
"""Benchmarks and their options."""
KEPT = {
    "signals_weights": ("--show",),
    "signals_weights_time": ("--only",),
    "signals_ials": ("--print",),
    "signals_sequential": ("--print",),
    "signals_lists": ("--only", "movielens-1m"),
    "signals_compare": ("--print",),
}
"""Options with which these measure nothing; of the others all is there."""

if __name__ == "__main__":
    run_parts(__doc__, PARTS, kept=KEPT)
