"""Reliability: damaged logs, every format of the field, kills, and strange requests to the service, in one run.

    python -m tests.benchmarks.reliability [--files N] [--cases N] [--seed N]

A quarter of the files are the formats'. Kills are the tests that kill a process wherever it is and compare what a
rerun makes with what an uninterrupted run makes. The last line of output is JSON.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

from tests.benchmarks import reliability_formats, reliability_logs, reliability_service

ROOT = Path(__file__).parents[2]
KILLS = (
    "tests/pipelines/test_ingest_killed.py",
    "tests/pipelines/test_recommend.py",
    "tests/pipelines/training",
    "tests/pipelines/tuning",
    "tests/recsys_vae/training/test_loop.py",
    "tests/recsys_vae/images/training/test_loop.py",
    "tests/service/test_crash.py",
)
"""Where tests kill something; those whose names say so are run."""


def kill_points() -> tuple[int, int]:
    """Tests that kill, and how many of them passed."""
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-k", "kill", f"--junitxml={report}", *KILLS]
        subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=False)
        (suite,) = ElementTree.parse(report).getroot().iter("testsuite")
        counts = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
    return counts["tests"], counts["tests"] - counts["failures"] - counts["errors"] - counts["skipped"]


def main() -> None:
    """Run all, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument(
        "--cases", type=int, default=reliability_service.CASES, help="requests to the service, at least"
    )
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    of_formats = reliability_formats.fuzz(options.files // 4, options.seed)
    print(f"{of_formats.files:,} files of the field's formats", flush=True)
    logs = reliability_logs.fuzz(options.files - of_formats.files, options.seed)
    print(f"{logs.files:,} other logs", flush=True)
    outcomes = list(reliability_service.outcomes(options.cases, options.seed))
    print(f"{sum(one.cases for one in outcomes):,} requests", flush=True)
    kills, survived = kill_points()
    figures = {
        "log_files_fuzzed": of_formats.files + logs.files,
        "rows_unaccounted": of_formats.unaccounted + logs.unaccounted,
        "tracebacks": of_formats.tracebacks + logs.tracebacks,
        "formats_read": len(reliability_formats.formats_read()),
        "schema_gaps": sum(one.schema_gaps for one in outcomes),
        "server_errors": sum(one.server_errors for one in outcomes),
        "kill_points_equal": f"{survived} of {kills}",
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
