"""Whatever the OpenAPI document allows, and much that it does not, gets a documented answer: no 5xx, no schema broken.

schemathesis asks a server with keys, with all of its checks; schemathesis.toml has the exceptions and their reasons.
`make bench-reliability-service` asks more.
"""

from pathlib import Path

import pytest

from tests.service.fuzzing import fuzz
from tests.service.test_serve import home  # noqa: F401

TOLD = 10_000
"""Characters of its output that a failure shows, from the beginning and from the end."""


def cases_of(home: Path, bundle: Path, *options: str) -> int:  # noqa: F811
    """Cases that passed; fails with all that schemathesis tells."""
    outcome = fuzz(home, bundle, *options)
    found = (outcome.server_errors, outcome.schema_gaps)
    assert found == (0, 0), f"{outcome.told[:TOLD]}\n{outcome.told[-TOLD:]}"
    return outcome.cases


def test_some_hundred_requests(home: Path, bundle_path: Path) -> None:  # noqa: F811
    assert cases_of(home, bundle_path, "--phases", "examples,fuzzing", "--max-examples", "10", "--seed", "1") >= 80


@pytest.mark.slow
def test_thousands_of_requests_in_all_phases_with_another_seed_each_time(home: Path, bundle_path: Path) -> None:  # noqa: F811
    assert cases_of(home, bundle_path, "--max-examples", "60") >= 2000
