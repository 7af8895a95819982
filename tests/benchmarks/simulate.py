"""What `recsys simulate` costs, and whether its logs are what they say: `make bench-simulate`.

- speed: whole commands, rows a second of CPU time and peak memory, by rows and form
- law: slope of the popularity of the most popular items against the exponent asked for, in a world that stands still
- account: `recsys ingest` of a dirty log against the truth of its dirt, rule by rule
- learning: a temporal split; popularity, EASE and Mult-VAE beside the truth's own ranking at the middle of the window
- content: a tenth of the items withheld from Mult-VAE and placed by category and brand; lists of these alone

The last line of output is JSON. Runs are kept under results/simulate; --fresh measures again.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.item_features import content_of
from pipelines.dataset.splits import load_split
from pipelines.ingest.summary import IngestSummary
from recsys_vae.data.ids import IdMap
from recsys_vae.evaluation import entries
from recsys_vae.evaluation.evaluate import evaluate
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.models.content import place_new_items
from recsys_vae.protocols import BoolArray, Float32Array
from recsys_vae.simulation import World, WorldSettings
from recsys_vae.training.config import TrainingConfig
from tests.benchmarks.cold_start_items import Allowed, Lottery, without
from tests.benchmarks.quickstart import fitted
from tests.benchmarks.records import record

SHORT = TrainingConfig(epochs=30, patience=6)
METRICS = ("recall@20", "ndcg@100")
SPEED = (
    (10_000_000, "parquet"),
    (1_000_000, "parquet"),
    (1_000_000, "csv"),
    (1_000_000, "csv.gz"),
    (1_000_000, "ndjson"),
)
LEARNED = ("--users", "10000", "--items", "2000", "--events", "500000", "--bad", "0.01", "--duplicates", "0.01",
           "--skewed", "0.01", "--new-items", "0")  # fmt: skip
WEIGHTS = ("--event-weight", "view=1", "--event-weight", "cart=2", "--event-weight", "purchase=5", "--keep", "max")


def run(home: str, *arguments: str) -> tuple[float, float]:
    """CPU seconds and peak memory (MiB) of a verb."""
    script = (
        "import resource, sys\nfrom pipelines.cli import main\n"
        "try: main()\nexcept SystemExit as end: assert not end.code, end.code\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "peak = next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "print(used.ru_utime + used.ru_stime, int(peak) / 1024)"
    )
    environment = os.environ | {"RECSYS_HOME": home, "PYTHONPATH": os.getcwd()}
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True, env=environment
    )
    cpu, peak = done.stdout.split()[-2:]
    return float(cpu), float(peak)


def speed(rows: int, form: str) -> dict[str, float]:
    """Of one log of twenty rows a user."""
    with tempfile.TemporaryDirectory() as folder:
        size = ("--users", str(rows // 20), "--items", str(rows // 200), "--events", str(rows))
        cpu, peak = run(folder, "simulate", f"{folder}/log", *size, "--format", form)
    return {"cpu_s": round(cpu, 2), "peak_mib": round(peak), "rows_per_cpu_s": round(rows / cpu)}


def law() -> dict[str, float]:
    """Slope of log counts over log ranks of the 200 most popular of 5,000 items."""
    still = {"taste_drift": 0.0, "trend": 0.0, "seasonality": 0.0, "new_items": 0.0, "reordered": 0.0, "bots": 0.0}
    found = {}
    for zipf in (0.6, 0.8, 1.0):
        world = World(WorldSettings(users=100_000, items=5000, events=2_000_000, zipf=zipf, **still))  # type: ignore[arg-type]
        counts = sum(np.bincount(world.block(block)[0].items, minlength=5000) for block in range(world.n_blocks))
        ranked = np.sort(counts)[::-1][:200]  # type: ignore[call-overload]
        found[f"asked {zipf}"] = round(-float(np.polyfit(np.log(np.arange(1, 201)), np.log(ranked), 1)[0]), 3)
    return found


@dataclass(eq=False)
class Truth:
    """The law's own ranking of each user at a moment; asked once, in the order of the users."""

    world: World
    users: IdMap
    items: IdMap
    time: int
    asked: int = 0

    @property
    def n_items(self) -> int:
        return len(self.items)

    def score(self, histories: csr_array) -> Float32Array:
        who = self.users.values[self.asked : self.asked + histories.shape[0]]
        self.asked += histories.shape[0]
        probability = self.world.click_probability(np.array(who, int), np.array(self.items.values, int), self.time)
        return np.log(probability + 1e-30).astype(np.float32)


def asked_alone(part: HeldOut) -> HeldOut:
    """Those users who have something to predict, so that a truth can count on their order."""
    return part.take(np.flatnonzero(np.diff(part.targets.indptr)))


def shown(part: HeldOut, targets: csr_array, withheld: BoolArray, *, keep_targets: bool = False) -> HeldOut:
    """The same users without withheld items in what is shown and, unless they are asked for, in the targets."""
    wanted = targets if keep_targets else without(targets, withheld)
    return HeldOut(part.users, without(part.histories, withheld), wanted)


def learned() -> dict[str, Any]:
    """Account, learning and content of one log."""
    with tempfile.TemporaryDirectory() as folder:
        run(folder, "simulate", f"{folder}/log", *LEARNED, "--format", "csv")
        metadata = (
            "--items",
            f"{folder}/log/items.parquet",
            "--item-field",
            "category:category",
            "--item-field",
            "brand:category",
        )
        run(folder, "ingest", f"{folder}/log/events", "--to", f"{folder}/shop", *WEIGHTS, *metadata)
        run(folder, "split", f"{folder}/shop", "--protocol", "temporal")
        dataset = DatasetDir.open(f"{folder}/shop")
        account = json.loads(Path(f"{folder}/log/truth/account.json").read_text())
        return {
            "account": reconciled(IngestSummary.read(Path(f"{folder}/shop/summary.json")), account),
            **ranked(dataset, World.open(f"{folder}/log")),
        }


def reconciled(summary: IngestSummary, account: Mapping[str, int]) -> dict[str, list[int]]:
    """What ingest counted beside what the simulator knows."""
    quarantined = {count.name: count.rows for count in summary.quarantined}
    of_time = sum(rows for name, rows in quarantined.items() if name.startswith("timestamp"))
    lost = sum(count.rows for count in summary.lost)
    return {
        "rows": [summary.rows_in, account["rows"]],
        "no_user": [quarantined["user_id is missing"], account["no_user"]],
        "no_item": [quarantined["item_id is missing"], account["no_item"]],
        "unknown_event": [quarantined["event_type has no weight"], account["unknown_event"]],
        "bad_time": [of_time, account["bad_time"]],
        "lost": [lost, account["events"] + account["duplicates"] - account["pairs"]],
        "interactions": [summary.kept.interactions, account["pairs"]],
        "users": [summary.kept.users, account["users"]],
    }


def ranked(dataset: DatasetDir, world: World) -> dict[str, Any]:
    """Means by model, of the whole catalogue and of withheld items alone."""
    split = load_split(dataset, "temporal")
    test = asked_alone(split.test)
    middle = (world.settings.days - world.settings.days // 20) * 86_400 + world.settings.first_second
    truth = Truth(world, test.users, split.train.items, middle)
    scorers = {name: fitted(split, name, SHORT).model for name in ("popularity", "ease", "mult-vae")} | {"truth": truth}
    learning = {name: evaluate(one, test, METRICS).means for name, one in scorers.items()}
    n_items = split.train.n_items
    withheld = np.zeros(n_items, dtype=np.bool_)
    withheld[np.random.default_rng(0).choice(n_items, n_items // 10, replace=False)] = True
    train = replace(split.train, matrix=without(split.train.matrix, withheld))
    seen = shown(split.validation, split.validation.targets, withheld)
    model = fitted(replace(split, train=train, validation=seen, train_order=None), "mult-vae", SHORT).model
    content = content_of(dataset, split.train.items)
    place_new_items(model, content, train.item_counts(), l2=10.0)
    new = asked_alone(
        shown(test, entries.pick(test.targets, withheld[test.targets.indices]), withheld, keep_targets=True)
    )
    truth = Truth(world, new.users, split.train.items, middle)
    judged = {"random": Lottery(n_items), "content": model, "truth": truth}
    return {
        "learning": learning,
        "content": {name: evaluate(Allowed(one, withheld), new, METRICS).means for name, one in judged.items()},
    }


def main() -> None:
    """Print what was measured, and end in one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fresh", action="store_true")
    fresh = parser.parse_args().fresh
    found: dict[str, Any] = {}
    for rows, form in SPEED:
        found[f"speed-{rows}-{form}"] = record(
            "simulate", f"speed-{rows}-{form}", lambda r=rows, f=form: speed(r, f), fresh=fresh
        )["figures"]  # type: ignore[misc]
    found["law"] = record("simulate", "law", law, fresh=fresh)["figures"]
    found |= record("simulate", "learned", learned, fresh=fresh)["figures"]
    for name, figures in found.items():
        print(name, json.dumps(figures))
    means = found["learning"]
    print(
        json.dumps(
            {
                "rows_per_cpu_s": found["speed-10000000-parquet"]["rows_per_cpu_s"],
                "peak_mib_10m": found["speed-10000000-parquet"]["peak_mib"],
                "account_equal": all(one == other for one, other in found["account"].values()),
                "zipf": found["law"],
                "recall@20": {name: round(one["recall@20"], 4) for name, one in means.items()},
                "content_recall@20": {name: round(one["recall@20"], 4) for name, one in found["content"].items()},
            }
        )
    )


if __name__ == "__main__":
    main()
