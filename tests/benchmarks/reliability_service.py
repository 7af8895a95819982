"""Reliability of the service: schemathesis with all checks in all phases, with 20,000 requests or more.

    python -m tests.benchmarks.reliability_service [--cases N] [--seed N]

Its last line is JSON: `schema_cases`, `schema_gaps` (answers that are not as the document has them), `server_errors`.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.service.fuzzing import Outcome, fuzz
from tests.service.tiny import write_tiny_bundle

CASES = 20_000
SYSTEMATIC = ("--phases", "examples,coverage")
"""Every bound and kind of every field: always the same."""
DRAWN = ("--phases", "fuzzing,stateful", "--max-examples", "200")


def outcomes(n_cases: int, seed: int) -> Iterator[Outcome]:
    """One of the systematic run, then of runs with a seed each, until there were as many cases."""
    done = 0
    for number, options in enumerate([SYSTEMATIC, *[DRAWN] * n_cases]):
        with TemporaryDirectory() as folder:
            bundle = write_tiny_bundle(Path(folder) / "bundle", "ease")
            outcome = fuzz(Path(folder), bundle, *options, "--seed", str(seed + number))
        yield outcome
        done += outcome.cases
        if number and done >= n_cases:
            return


def main() -> None:
    """Run, tell of what was found, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=CASES, help="Requests, at least.")
    parser.add_argument("--seed", type=int, default=1, help="Of the first run; each has another.")
    chosen = parser.parse_args()
    found: list[Outcome] = []
    for outcome in outcomes(chosen.cases, chosen.seed):
        found.append(outcome)
        print(
            f"{outcome.cases:,} requests, {outcome.schema_gaps} gaps, {outcome.server_errors} server errors", flush=True
        )
        if outcome.schema_gaps or outcome.server_errors:
            print(outcome.told)
    figures = {
        "schema_cases": sum(one.cases for one in found),
        "schema_gaps": sum(one.schema_gaps for one in found),
        "server_errors": sum(one.server_errors for one in found),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
