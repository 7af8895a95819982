"""What the gate decides on known cases, on MovieLens 100K and 1M in order of time: `python -m tests.benchmarks.gate`.

The last events are the hold-out; the champion is EASE on what came before. Challengers:

- shuffled: the same on shuffled items; there is nothing to be learned.
- new-users: the champion, but its least popular items first for those without a history.
- stale: the same on data that end a month earlier. By its lists alone too, without the guard rail of age.
- equal: EASE with a slightly other regularisation.

Expected: refused, refused, refused, promoted. MovieLens 1M has times on its latest fifth of the rows only; the others
count as earlier than these. The last line is one JSON object.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.matrices import encode
from pipelines.promotion.comparison import Verdict
from pipelines.promotion.decision import Decision
from pipelines.promotion.gate import gate
from pipelines.promotion.limits import GuardRails, Limits
from recsys_vae.bundles.bundle import write_bundle
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.data.interactions import Interactions
from recsys_vae.evaluation import entries
from recsys_vae.models.ease import EASE, EASEConfig
from recsys_vae.protocols import Int64Array

MONTH = timedelta(days=30)
HOLD_OUT = {"movielens-100k": 0.2, "movielens-1m": 0.1}
"""Share of the events, the latest ones."""
EXPECTED = {"shuffled": "refused", "new-users": "refused", "stale": "refused", "equal": "promoted"}
LIMITS = Limits()
BY_LISTS = LIMITS.model_copy(update={"guard_rails": GuardRails(max_days_behind=100_000)})
L2, OTHER_L2 = 300.0, 310.0


def prepared(name: str, folder: Path) -> DatasetDir:
    """A public dataset in which every row has a time."""
    place = folder / name
    arguments = ("ingest", name, "--min-rating", "4", "--min-user", "5", "--to", str(place))
    subprocess.run([sys.executable, "-m", "pipelines.cli", *arguments], check=True, stdout=subprocess.DEVNULL)
    dataset = DatasetDir(place)
    log = dataset.interactions().collect()
    first = log["timestamp"].min()
    assert isinstance(first, datetime)
    timed = log.with_columns(pl.col("timestamp").fill_null(first - 2 * MONTH))
    timed.write_parquet(dataset.interactions_path)
    return dataset


def until(dataset: DatasetDir, end: datetime) -> Interactions:
    """What was known at a moment."""
    return encode(dataset.interactions().filter(pl.col("timestamp") <= end), binarised=True)


def written(
    path: Path, known: Interactions, end: datetime, l2: float = L2, popularity: Int64Array | None = None
) -> Path:
    """A bundle of EASE."""
    model = EASE(known.n_items, EASEConfig(l2=l2))
    model.fit(known.matrix)
    counts = known.item_counts() if popularity is None else popularity
    origin = Provenance(dataset="movielens", trained_on="all", training_cutoff=end.isoformat())
    write_bundle(path, model, known.items, popularity=counts, provenance=origin)
    return path


def shuffled(known: Interactions) -> Interactions:
    """Every interaction with an item that was drawn."""
    rows, drawn = entries.entry_rows(known.matrix), np.random.default_rng(0).permutation(known.matrix.indices)
    ones = np.ones(len(rows), np.float32)
    return Interactions.from_rows(rows, drawn, ones, users=known.users, items=known.items).binarised()


def decide(name: str, folder: Path) -> dict[str, Any]:
    """The four cases on one dataset."""
    dataset = prepared(name, folder)
    end = dataset.interactions().select(pl.col("timestamp").quantile(1 - HOLD_OUT[name], "lower")).collect().item()
    known, before = until(dataset, end), until(dataset, end - MONTH)
    counts = known.item_counts()
    champion = written(folder / f"{name}-champion", known, end)
    challengers = {
        "shuffled": written(folder / f"{name}-shuffled", shuffled(known), end),
        "new-users": written(folder / f"{name}-new-users", known, end, popularity=counts.max() - counts),
        "stale": written(folder / f"{name}-stale", before, end - MONTH),
        "equal": written(folder / f"{name}-equal", known, end, OTHER_L2),
    }
    found = {case: _case(case, gate(champion, bundle, dataset, LIMITS)) for case, bundle in challengers.items()}
    by_lists = _case("stale, lists alone", gate(champion, challengers["stale"], dataset, BY_LISTS))
    return found | {"stale_by_lists": by_lists}


def _case(case: str, decision: Decision) -> dict[str, Any]:
    overall, asked = decision.slices[0], decision.asked
    assert asked is not None
    worse = [one.name for one in decision.slices if one.verdict is Verdict.WORSE]
    broken = sorted({rail.name for rail in decision.rails if rail.holds is False})
    print(f"{case:<18} {decision.word:<9} {asked.n_users:,} users: {overall.metric} {overall.challenger:.4f} against "
          f"{overall.champion:.4f} ({overall.low:+.4f} to {overall.high:+.4f}, tolerated {-overall.margin:+.4f}, "
          f"{overall.verdict}); worse: {', '.join(worse) or 'nowhere'}; broken: {', '.join(broken) or 'none'}",
          flush=True)  # fmt: skip
    return {
        "decision": decision.word,
        "overall": [round(value, 4) for value in (overall.low, overall.high) if value is not None],
        "verdict": str(overall.verdict),
        "worse": worse,
        "broken": broken,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Decide and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", default=",".join(HOLD_OUT))
    names = parser.parse_args(arguments).datasets.split(",")
    results = {}
    for name in names:
        started = time.perf_counter()
        print(f"\n{name}")
        with tempfile.TemporaryDirectory(prefix="recsys-gate-") as folder:
            results[name] = decide(name, Path(folder))
        results[name]["seconds"] = round(time.perf_counter() - started, 1)
    as_expected = all(found[case]["decision"] == word for found in results.values() for case, word in EXPECTED.items())
    print(json.dumps({"as_expected": as_expected, "datasets": results}))


if __name__ == "__main__":
    main()
