"""Whatever the OpenAPI document allows, and much that it does not, gets a documented answer: no 5xx, no schema broken.

schemathesis asks a server with keys, with all of its checks; schemathesis.toml has the exceptions and their reasons.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from service.security.api_keys import SCOPES, entry_of, new_key
from tests.service.test_serve import home, serving  # noqa: F401
from tests.service.tiny import fill

EXCEPTIONS = Path(__file__).with_name("schemathesis.toml")
TOLD = 10_000
"""Characters of its output that a failure shows, from the beginning and from the end."""
CASES = re.compile(r"(\d+) generated, (\d+) passed")


def fuzz(home: Path, bundle: Path, *options: str) -> int:  # noqa: F811
    """Cases that passed; fails with all that schemathesis tells, the requests to repeat included."""
    fill(f"sqlite:///{home / 'events.db'}")
    schemathesis = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(EXCEPTIONS)]
    key = new_key()
    command = [*schemathesis, "run", "--checks", "all", "--no-color", "-H", f"Authorization: Bearer {key}", *options]
    # Nobody reads its log, and a pipe that is full would hold it up.
    flags = ("--keys", str(entry_of(key, "fuzzer", SCOPES)), "--docs", "--no-access-log")
    with serving(home, bundle, *flags) as (_, url):
        # It keeps a folder of its own where it runs.
        told = subprocess.run([*command, f"{url}/openapi.json"], cwd=home, capture_output=True, text=True, check=False)
    assert told.returncode == 0, f"{told.stdout[:TOLD]}\n{told.stdout[-TOLD:]}\n{told.stderr[-TOLD:]}"
    found = CASES.search(told.stdout)
    assert found, told.stdout
    assert found[1] == found[2]
    return int(found[1])


def test_some_hundred_requests(home: Path, bundle_path: Path) -> None:  # noqa: F811
    assert fuzz(home, bundle_path, "--phases", "examples,fuzzing", "--max-examples", "10", "--seed", "1") >= 80


@pytest.mark.slow
def test_thousands_of_requests_in_all_phases_with_another_seed_each_time(home: Path, bundle_path: Path) -> None:  # noqa: F811
    assert fuzz(home, bundle_path, "--max-examples", "60") >= 2000
