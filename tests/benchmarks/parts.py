"""Parts: benchmarks that are run one after the other, the last line of all being what theirs say together."""

import argparse
import json
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def run_parts(
    description: str | None,
    parts: Mapping[str, tuple[str, ...]],
    nested: Collection[str] = (),
    kept: Mapping[str, tuple[str, ...]] | None = None,
) -> None:
    """Run all, or those that `--only` names, and print the figures.

    Args:
        description: of the whole, for `--help`.
        parts: modules of `tests.benchmarks`, and their options.
        nested: parts whose figures stand under their name.
        kept: options with which parts measure nothing that is missing, where they measure by default; for `--kept`.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(parts), help="Parts, with commas.")
    if kept is not None:
        parser.add_argument("--kept", action="store_true", help="Print what was measured; measure nothing long.")
    arguments = parser.parse_args()
    if kept is not None and arguments.kept:
        parts = {**parts, **kept}
    wanted = arguments.only.split(",")
    figures: dict[str, Any] = {}
    for part in wanted:
        print(f"== {part}", flush=True)
        found = figures_of(part, parts[part])
        figures |= {part: found} if part in nested else found
    print(json.dumps(figures))


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
