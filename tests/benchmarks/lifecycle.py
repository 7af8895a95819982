"""Life over time in one run: updates, warm starts, the gate, live tests, live items, appended days, kills.

    python -m tests.benchmarks.lifecycle [--only updates,gate ...]

Each part is a benchmark of its own, `python -m tests.benchmarks.PART`, whose last line is JSON; the last line here has
the figures of all.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PARTS: Mapping[str, tuple[str, ...]] = {
    "updates": (),
    "warm_start": (),
    "gate": (),
    "live_tests": (),
    "live_items": (),
    "append": (),
    "retrain_kills": ("--inside",),
}
"""Benchmarks and their options."""


def figures_of(part: str, options: tuple[str, ...]) -> dict[str, Any]:
    """What a part says in its last line; an error of its own where it fails."""
    command = [sys.executable, "-u", "-m", f"tests.benchmarks.{part}", *options]
    lines: list[str] = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines = [*lines[-1:], line]
    if process.returncode:
        raise SystemExit(f"{part} ended with status {process.returncode}")
    found = json.loads(lines[-1])
    assert isinstance(found, dict)
    return found


def main() -> None:
    """Run all, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(PARTS), help="Parts, with commas.")
    wanted = parser.parse_args().only.split(",")
    figures: dict[str, Any] = {}
    for part in wanted:
        print(f"== {part}", flush=True)
        found = figures_of(part, PARTS[part])
        figures |= {part: found} if part == "gate" else found
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
