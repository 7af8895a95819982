"""Weeks of a simulated shop by `recsys retrain`, killed at every step: do reruns end as if nothing had happened?

Each week is run twice over: once undisturbed, and once killed (SIGKILL) where a step begins, or while it runs, and run
again. What counts is what comes out: the versions of the bundles, which are hashes of their content, and the lists.

    python -m tests.benchmarks.retrain_kills [--weeks 3] [--model ease] [--inside]
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from tests.benchmarks.shop_weeks import Shop

FIRST = 5
"""Weeks that are there before the first run."""
CONFIG = """name = "shop"
[collect]
logs = ["{logs}/*.csv"]
[split]
test = 7
validation = 7
[full]
new_items = 0.5
after_updates = 2
[train]
model = "{model}"
{options}
[recommend]
k = 10
"""


@dataclass(frozen=True)
class Outcome:
    """What a week has led to."""

    bundles: tuple[str, ...]
    lists: pl.DataFrame
    seconds: Mapping[str, float]

    def equals(self, other: "Outcome") -> bool:
        """Whether the same models and lists came out."""
        return self.bundles == other.bundles and self.lists.equals(other.lists)


class Place:
    """A RECSYS_HOME with its logs and its settings."""

    def __init__(self, folder: Path, model: str, options: str) -> None:
        self.home, self.logs, self.config = folder / "home", folder / "logs", folder / "weekly.toml"
        folder.mkdir(parents=True)
        self.config.write_text(CONFIG.format(logs=self.logs, model=model, options=options))

    def run(self) -> int:
        """The job, to its end; its exit status."""
        return subprocess.run(self._command, env=self._environment, capture_output=True, check=False).returncode

    def run_until_killed(self, killed: set[tuple[str, bool]], seconds: Mapping[str, float], *, inside: bool) -> bool:
        """The job, killed at the first step that is still to be killed; whether one was.

        Args:
            killed: (step, whether inside it) that were killed so far; the one of this run is added.
            seconds: that each step takes.
            inside: whether steps are killed halfway, too, and not only where they begin.
        """
        with subprocess.Popen(self._command, env=self._environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                found = re.search(r"\d+/\d+ ([\w-]+): begins", line)
                wanted = [] if found is None else [(found[1], False), *([(found[1], True)] if inside else [])]
                point = next((one for one in wanted if one not in killed), None)
                if point is not None:
                    time.sleep(seconds.get(point[0], 0.0) / 2 if point[1] else 0.0)
                    process.send_signal(signal.SIGKILL)
                    killed.add(point)
                    break
        return process.returncode == -signal.SIGKILL

    def outcome(self) -> Outcome:
        """What the last run has made that found something new."""
        found = {
            run: json.loads((run / "run.json").read_bytes())
            for run in sorted((self.home / "retraining" / "shop" / "runs").iterdir())
        }
        run, journal = [(run, journal) for run, journal in found.items() if "promoted" in journal["facts"]][-1]
        bundles = [
            json.loads((run / name / "manifest.json").read_bytes())["version"] for name in ("challenger", "shipped")
        ]
        seconds = {name: step["seconds"] or 0.0 for name, step in journal["steps"].items()}
        return Outcome(tuple(bundles), pl.read_parquet(run / "lists.parquet"), seconds)

    def leftovers(self) -> list[str]:
        """Files that nothing whole is made of; a lock's file may stay, the system let go of it with its process."""
        return [str(path) for path in self.home.rglob(".*") if path.name.endswith((".partial", ".replaced"))]

    @property
    def _command(self) -> list[str]:
        return [sys.executable, "-u", "-m", "pipelines.cli", "retrain", "--config", str(self.config)]

    @property
    def _environment(self) -> dict[str, str]:
        return os.environ | {"RECSYS_HOME": str(self.home), "OMP_NUM_THREADS": "1"}


def measure(weeks: int, model: str, options: str, folder: Path, *, inside: bool) -> dict[str, Any]:
    """Compare killed with undisturbed weeks."""
    shop, whole, killed = Shop(), Place(folder / "whole", model, options), Place(folder / "killed", model, options)
    for number in range(FIRST):
        for place in (whole, killed):
            shop.write(number, place.logs)
    equal = kills = 0
    differences: list[str] = []
    for number in range(FIRST, FIRST + weeks):
        for place in (whole, killed):
            shop.write(number, place.logs)
        if status := whole.run():
            raise SystemExit(f"the undisturbed run of week {number} ended with status {status}")
        expected = whole.outcome()
        done, points = 0, set[tuple[str, bool]]()
        while killed.run_until_killed(points, expected.seconds, inside=inside):
            done += 1
        status, found = killed.run(), killed.outcome()
        kills += done
        same = status == 0 and found.equals(expected) and not killed.leftovers()
        equal += done * same
        if not same:
            differences.append(
                f"week {number}: status {status}, {found.bundles} for {expected.bundles}, {killed.leftovers()}"
            )
        print(f"week {number}: {done} kills, {'equal' if same else differences[-1]}", flush=True)
    return {
        "kill_points": kills,
        "kill_points_equal": equal,
        "weeks": weeks,
        "model": model,
        "differences": differences,
    }


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weeks", type=int, default=7)
    parser.add_argument("--model", default="ease")
    parser.add_argument("--options", default="", help="More lines of the table [train].")
    parser.add_argument("--inside", action="store_true", help="Kill within each step, too.")
    asked = parser.parse_args()
    with TemporaryDirectory(prefix="retrain-kills-") as folder:
        print(json.dumps(measure(asked.weeks, asked.model, asked.options, Path(folder), inside=asked.inside)))


if __name__ == "__main__":
    main()
