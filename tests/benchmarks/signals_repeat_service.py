"""What the repeat-purchase head costs an answer: processor time in one process, with and without it, side by side.

    python -m tests.benchmarks.signals_repeat_service [--fresh]

From the body of a request to the fields of its answer, without sockets, queue and threads: 60 events a user over 60
days, a Mult-VAE over 3,000 and over 41,000 items. The history is in memory.
"""

import argparse
import json
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from recsys_vae.bundles.bundle import Bundle, write_bundle
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.data.ids import IdMap
from recsys_vae.data.purchases import DAY
from recsys_vae.data.signals import REPEATS, Repeat
from recsys_vae.models.mult_vae import MultVAE, MultVAEConfig
from recsys_vae.models.repeat import RepeatHead
from recsys_vae.recommender import FallbackChain
from service.http.conversion import to_request, to_wire
from service.ranking import engine
from service.ranking.ranking import answer
from service.ranking.served_model import Catalogue
from service.schemas.recommendations import RecommendationRequest
from service.store.events import Event, EventStore
from service.store.history_cache import Histories
from tests.benchmarks.records import record

SIZES = (3_000, 41_000)
USERS, EVENTS, ANSWERS, ROUNDS = 100, 60, 50, 9
HEADS = {"bare": False, "head": True}


def main() -> None:
    """Measure, and print microseconds an answer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fresh", action="store_true", help="measure again what has a record")
    found = record("signals", "repeat-service", measure, fresh=parser.parse_args().fresh)["figures"]
    for size in SIZES:
        for repeat in REPEATS:
            print(size, repeat, *(f"{head} {found[f'{size}_{repeat}_{head}']:.0f} us" for head in HEADS))
    print(json.dumps({"repeat_service_microseconds": found}))


def measure() -> dict[str, Any]:
    """Median over rounds of the processor time an answer, in microseconds, bundles and requests taking turns."""
    times: dict[str, list[float]] = {}
    with TemporaryDirectory() as folder:
        for size in SIZES:
            catalogues = {name: _catalogue(Path(folder) / f"{name}-{size}", size, head) for name, head in HEADS.items()}
            with closing(EventStore(f"sqlite:///{folder}/events-{size}.db")) as store:
                _fill(store, size)
                histories = Histories(store)
                for _ in range(ROUNDS):
                    for repeat in REPEATS:
                        for name, catalogue in catalogues.items():
                            spent = _round(catalogue, histories, repeat)
                            times.setdefault(f"{size}_{repeat}_{name}", []).append(spent)
    return {name: median(found[1:]) for name, found in times.items()}


def _catalogue(path: Path, size: int, with_head: bool) -> Catalogue:
    items = IdMap.from_values([f"item-{number}" for number in range(size)])
    model, head = MultVAE(size, MultVAEConfig(hidden=200, latent=64)), RepeatHead(size) if with_head else None
    write_bundle(path, model, items, popularity=np.ones(size), provenance=Provenance(), repeat=head)
    return Catalogue(FallbackChain(Bundle.load(path)), is_warm=True)


def _fill(store: EventStore, size: int) -> None:
    rng = np.random.default_rng(0)
    events = [
        Event(f"{user} {day}", f"u{user}", f"item-{item}", "purchase", 1.0, day * DAY)
        for user in range(USERS)
        for day, item in enumerate(rng.choice(min(size, 100), EVENTS))
    ]
    store.append([events], "api")


def _round(catalogue: Catalogue, histories: Histories, repeat: Repeat) -> float:
    bodies = [json.dumps({"user_id": f"u{place % USERS}", "repeat": repeat}) for place in range(ANSWERS)]
    for body in bodies:
        _answer(catalogue, histories, body)
    begin = time.process_time()
    for body in bodies:
        _answer(catalogue, histories, body)
    return (time.process_time() - begin) / ANSWERS * 1e6


def _answer(catalogue: Catalogue, histories: Histories, body: str) -> dict[str, Any]:
    """What the engine does for one request, alone in its batch."""
    request = to_request(RecommendationRequest.model_validate_json(body))
    assert request.user_id is not None
    stored = histories.history(request.user_id)
    query = replace(request.query, history=engine._joined(stored, request, catalogue))
    query = engine._seen_from(EVENTS, query, stored, request, catalogue)
    return to_wire(engine.Page(answer(catalogue, query), None), "r", "main")


if __name__ == "__main__":
    main()
