"""What `recsys size` says of the index kinds beside what a bundle and a worker of the service then take.

A bundle of ELSA with random weights, 128 factors, for each kind: bytes of its files, and what a service of one worker
holds when it has answered a few requests. Estimates are made of the unit costs of this machine and of the sizes.

    python -m tests.benchmarks.size_indexes [--items 200000] [--index flat ...] [--fresh]

The last line of output is JSON.
"""

import argparse
import json
import shutil

import numpy as np
import polars as pl
import torch

from pipelines.sizing.calibration import calibrated, resident_serving
from pipelines.sizing.estimate import Workload, stages
from recsys_vae.bundles.bundle import write_bundle
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.data.ids import IdMap
from recsys_vae.home import home
from recsys_vae.models import catalog
from recsys_vae.models.cost import Sizes
from recsys_vae.retrieval.index_files import KINDS
from tests.benchmarks.records import record

FACTORS, ASKED = 128, 64


def measured(n: int, kind: str) -> dict[str, float]:
    """Bytes of the bundle's directory and of a worker."""
    draw, bundle = np.random.default_rng(0), home() / "bench-size" / f"index-{n}-{kind}"
    torch.manual_seed(0)
    model = catalog.create("elsa", n, catalog.configure("elsa", {"factors": FACTORS}))
    try:
        write_bundle(
            bundle,
            model,
            IdMap(pl.Series([f"{row:08}" for row in range(n)])),
            popularity=draw.integers(1, 1000, n),
            provenance=Provenance(dataset="random"),
            index_kind=kind,
            index_queries=draw.standard_normal((ASKED, FACTORS), dtype=np.float32),
            min_recall=1e-9,
        )
        disk = float(sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file()))
        return {"disk": disk, "memory": resident_serving(bundle, home())}
    finally:
        shutil.rmtree(bundle, ignore_errors=True)


def main() -> None:
    """Print estimates beside what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--index", nargs="*", choices=KINDS, default=list(KINDS))
    parser.add_argument("--fresh", action="store_true")
    options = parser.parse_args()
    n, machine = options.items, calibrated(say=print)
    work = Workload(1, Sizes(1, n, 1, 0.0, 0.0))
    worst = 0.0
    for kind in options.index:
        found = record("size", f"index-{n}-{kind}", lambda kind=kind: measured(n, kind), fresh=options.fresh)["figures"]  # type: ignore[misc]
        config = catalog.configure("elsa", {"factors": FACTORS})
        said = {stage.name: stage for stage in stages(work, "elsa", config, machine, index=kind)}
        for name, value in (("disk", said["bundle"].disk), ("memory", said["serving"].memory)):
            error = abs((value or 0.0) / found[name] - 1)
            worst = max(worst, error)
            print(f"{kind:8}{name:8}{value or 0.0:>16,.0f}{found[name]:>16,.0f}{error:>8.1%}", flush=True)
    print(json.dumps({"size_index_worst_error": round(worst, 3), "items": n}))


if __name__ == "__main__":
    main()
