"""Lists that were shown, made again in a process of its own: `python -m tests.benchmarks.ui_replay_again`.

Takes the URL of the store, the folder of the bundles and a file with the ids of the items of each answer, by request.
The last line is JSON.
"""

import asyncio
import json
import resource
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

from recsys_vae.errors import RecsysError
from recsys_vae.native.library import chosen
from service.deployment.past_bundles import PastBundles
from service.http.replay import Replayer
from service.settings import Settings
from service.store.deployments import DeploymentTable
from service.store.events import EventStore

EXAMPLES = 5


async def replays(url: str, root: Path, shown: dict[str, list[str]]) -> dict[str, Any]:
    """How many of these lists are identical, of another order by rounding, different, or refused; and examples."""
    counts, reasons, examples = Counter[str](), Counter[str](), list[dict[str, Any]]()
    with closing(EventStore(url)) as store:
        settings = Settings(bundle_root=root, store=url)
        replayer = Replayer(store, PastBundles(DeploymentTable(store.database), settings, {}))
        for request_id, items in shown.items():
            try:
                [found] = await replayer.lists(request_id)
            except RecsysError as error:
                counts["refused"] += 1
                reasons[f"{type(error).__name__}: {error}"] += 1
                continue
            if list(found.shown) != items:
                counts["recorded otherwise than answered"] += 1
            elif found.is_identical:
                counts["identical"] += 1
            else:
                counts["rounding_only" if found.is_rounding else "different"] += 1
                examples.append({"request_id": request_id, "version": found.model_version,
                                 "place": found.first_difference, "rounding_only": found.is_rounding})  # fmt: skip
    return {
        "lists": len(shown),
        "counts": counts,
        "reasons": reasons,
        "examples": examples[:EXAMPLES],
    }


def main() -> None:
    """Make them again, and print the figures."""
    url, root, shown = sys.argv[1:]
    found = asyncio.run(replays(url, Path(root), json.loads(Path(shown).read_text())))
    used = resource.getrusage(resource.RUSAGE_SELF)
    loops = {"torch": torch.backends.cpu.get_cpu_capability(), "compiled": chosen().level.name}
    print(json.dumps(found | {"processor": loops, "cpu_seconds": used.ru_utime + used.ru_stime}))


if __name__ == "__main__":
    main()
