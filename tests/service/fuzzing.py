"""schemathesis on a running service over the tiny world: what it generated, and what it found."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

from service.security.api_keys import SCOPES, entry_of, new_key
from tests.service.test_serve import serving
from tests.service.tiny import fill

EXCEPTIONS = Path(__file__).with_name("schemathesis.toml")
SERVER_ERROR = "ServerError"
"""What schemathesis calls a 5xx that is not expected."""


@dataclass(frozen=True)
class Outcome:
    """What one run came to.

    Attributes:
        cases: requests that were generated.
        server_errors: answers of 5xx that are not expected.
        schema_gaps: everything else in which an answer is not as the document has it, and cases that could not be run.
        told: what schemathesis said, the requests to repeat included.
    """

    cases: int
    server_errors: int
    schema_gaps: int
    told: str


def fuzz(home: Path, bundle: Path, *options: str) -> Outcome:
    """Run schemathesis with all of its checks against a server of its own, with keys; `home` is its RECSYS_HOME."""
    fill(f"sqlite:///{home / 'events.db'}")
    key, report = new_key(), home / "schemathesis.json"
    # Nobody reads its log, and a pipe that is full would hold it up.
    flags = ("--keys", str(entry_of(key, "fuzzer", SCOPES)), "--docs", "--no-access-log", "--log-level", "error")
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(EXCEPTIONS)),
        *("run", "--checks", "all", "--no-color", "--continue-on-failure"),
        *("--header", f"Authorization: Bearer {key}", "--report", "json", "--report-json-path", str(report)),
    ]
    with serving(home, bundle, *flags) as (_, url):
        # The document is made once: on a busy machine that takes longer than schemathesis waits for it.
        asked = Request(f"{url}/openapi.json", headers={"Authorization": f"Bearer {key}"})
        urlopen(asked, timeout=120).close()
        # It keeps a folder of its own where it runs.
        run = subprocess.run(
            [*command, *options, f"{url}/openapi.json"], cwd=home, capture_output=True, text=True, check=False
        )
    told = f"{run.stdout}\n{run.stderr}"
    if not report.is_file():
        raise RuntimeError(told)
    found = json.loads(report.read_text())
    failures = {failure["type"]: failure["count"] for failure in found["failures"]}
    server_errors = failures.pop(SERVER_ERROR, 0)
    gaps = sum(failures.values()) + len(found["errors"]) + found["test_cases"]["errored"]
    return Outcome(found["test_cases"]["generated"], server_errors, gaps, told)
