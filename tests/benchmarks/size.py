"""What `recsys size` says beside what is then measured, in nine cases: `make bench-size`.

Each is a verb in a process of its own, on simulated logs; peaks are what the process says of itself (VmHWM). Estimates
are made of the unit costs of this machine and of the sizes of the dataset, not of what was measured.

- ingest of 1 and 10 million rows: peak and processor time
- EASE of 5,000 and 15,000 items, Mult-VAE (also in leaves), ELSA and the graph filter of 5,000: peak of `recsys train`
- the bundle of EASE on disk, and what a worker of the service holds of Mult-VAE's

Errors are |estimate / measured - 1|. Measured figures are kept under results/size; --fresh measures again. The last
line of output is JSON.

    python -m tests.benchmarks.size [--fresh] [--print]
"""

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.commands.settings import chosen
from pipelines.dataset.directory import DatasetDir
from pipelines.sizing.calibration import calibrated, resident_serving, run_verb
from pipelines.sizing.estimate import Stage, stages
from pipelines.sizing.workloads import of_dataset, of_numbers
from pipelines.training.model_settings import specify
from recsys_vae.home import home
from tests.benchmarks.records import existing, record

BENCHMARK = "size"
LOGS = {
    "1m": ("--users", "20000", "--items", "5000", "--events", "1000000"),
    "3m": ("--users", "60000", "--items", "15000", "--events", "3000000"),
    "10m": ("--users", "500000", "--items", "50000", "--events", "10000000"),
}
DIRT = ("--bad", "0.002", "--duplicates", "0.003", "--skewed", "0.01")
WEIGHTS = ("--event-weight", "view=1", "--event-weight", "cart=2", "--event-weight", "purchase=5", "--keep", "max")
TRAINED: dict[str, tuple[str, ...]] = {
    "ease 5k": ("1m", "ease"),
    "ease 15k": ("3m", "ease"),
    "mult-vae 5k": ("1m", "mult-vae"),
    "mult-vae 5k in leaves": ("1m", "mult-vae", "leaves=4"),
    "elsa 5k": ("1m", "elsa"),
    "graph-filter 5k": ("1m", "graph-filter"),
}
"""Log, model and settings."""
SPLIT = "strong"
INGESTS = {"1m": 3, "10m": 1}
"""Times that a log is ingested: the least time counts, as other work makes it longer, and the highest peak."""


def folder() -> Path:
    """Where logs and bundles go."""
    return home() / "bench-size"


def dataset(log: str) -> str:
    """Name of the dataset of a log, which is made with its split where it is not there."""
    name = f"bench-size-{log}"
    if not DatasetDir.at(name).interactions_path.is_file():
        ingested(log)
    if log != "10m" and SPLIT not in DatasetDir.open(name).splits():
        run_verb(home(), "split", name, "--protocol", SPLIT)
    return name


def ingested(log: str) -> dict[str, float]:
    """Peak and processor time of an ingest."""
    dirt = DIRT if log == "1m" else ()
    run_verb(home(), "simulate", str(folder() / log), *LOGS[log], *dirt)
    arguments = ("ingest", str(folder() / log / "events"), "--to", f"bench-size-{log}", "--overwrite", *WEIGHTS)
    seconds, peaks = zip(*(run_verb(home(), *arguments) for _ in range(INGESTS.get(log, 1))), strict=True)
    return {"memory": max(peaks), "seconds": min(seconds)}


def trained(case: str) -> dict[str, float]:
    """Peak of a training, of one epoch where it has any, and bytes of its bundle."""
    log, model, *settings = TRAINED[case]
    name, bundle = dataset(log), folder() / "bundles" / case.replace(" ", "-")
    settings += ["epochs=1"] if specify(model, {}).is_trained_by_gradient else []
    sets = [word for setting in settings for word in ("--set", setting)]
    _, peak = run_verb(home(), "train", name, "--to", str(bundle), "--model", model, "--overwrite", *sets)
    return {"memory": peak, "disk": float(sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file()))}


def served(case: str) -> dict[str, float]:
    """What a worker holds of the bundle of a training."""
    return {"memory": resident_serving(folder() / "bundles" / case.replace(" ", "-"), home())}


def estimated(case: str) -> dict[str, Stage]:
    """Estimates by step."""
    machine = calibrated(say=print)
    if case in TRAINED:
        log, model, *settings = TRAINED[case]
        work, spec = of_dataset(dataset(log), SPLIT), specify(model, chosen(settings))
        return {stage.name: stage for stage in stages(work, model, spec.config, machine, spec.training)}
    users, items, events = (int(number) for number in LOGS[case][1::2])
    work = of_numbers(users, items, events)
    return {stage.name: stage for stage in stages(work, "popularity", specify("popularity", {}).config, machine)}


def measured(name: str, measure: Callable[[], dict[str, float]], fresh: bool) -> dict[str, float]:
    """Figures of a case."""
    return dict(record(BENCHMARK, name.replace(" ", "-"), measure, fresh=fresh)["figures"])


def main() -> None:
    """Print estimates beside what was measured, and end in one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--print", action="store_true", help="what was found last, and nothing else")
    options = parser.parse_args()
    kept = existing(BENCHMARK, "summary")
    if options.print:
        print(json.dumps(kept["figures"] if kept else {"size_worst_error": None}))
        return
    fresh = options.fresh
    cases: dict[str, dict[str, Any]] = {}

    def compare(case: str, estimate: float | None, found: float) -> None:
        error = abs((estimate or 0.0) / found - 1)
        cases[case] = {"estimated": round(estimate or 0.0, 1), "measured": round(found, 1), "error": round(error, 3)}

    for log in ("1m", "10m"):
        found, stage = measured(f"ingest-{log}", lambda log=log: ingested(log), fresh), estimated(log)["ingest"]  # type: ignore[misc]
        compare(f"ingest {log}, bytes", stage.memory, found["memory"])
        compare(f"ingest {log}, s", stage.seconds, found["seconds"])
    for case in TRAINED:
        found = measured(case, lambda case=case: trained(case), fresh)  # type: ignore[misc]
        said = estimated(case)
        compare(f"{case}, bytes", said["training"].memory, found["memory"])
        if case == "ease 5k":
            compare("bundle of ease 5k, bytes", said["bundle"].disk, found["disk"])
        if case == "mult-vae 5k":
            resident = measured("serving mult-vae 5k", lambda: served("mult-vae 5k"), fresh)
            compare("serving mult-vae 5k, bytes", said["serving"].memory, resident["memory"])
    for case, figures in cases.items():
        print(f"{case:28} {figures['estimated']:>16,.1f} {figures['measured']:>16,.1f} {figures['error']:.1%}")
    worst = max(figures["error"] for figures in cases.values())
    told = {"size_worst_error": worst, "size_cases": cases, "cores": os.cpu_count()}
    record(BENCHMARK, "summary", lambda: told, fresh=True)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
