"""Life over time in one run: updates, warm starts, the gate, live tests, live items, appended days, kills.

    python -m tests.benchmarks.lifecycle [--only updates,gate ...]

Each part is a benchmark of its own, `python -m tests.benchmarks.PART`, whose last line is JSON; the last line here has
the figures of all.
"""

from tests.benchmarks.parts import run_parts

PARTS = {
    "updates": (),
    "warm_start": (),
    "gate": (),
    "live_tests": (),
    "live_items": (),
    "append": (),
    "retrain_kills": ("--inside",),
}
"""Benchmarks and their options."""

if __name__ == "__main__":
    run_parts(__doc__, PARTS, nested=("gate",))
