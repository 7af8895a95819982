"""What rules of signals cost an answer: processor time in one process, without rules and with all, side by side.

    python -m tests.benchmarks.signals_service

From the body of a request to the fields of its answer, without sockets, queue and threads: 60 events a user, 3,000
items, a Mult-VAE. `hit` finds the history in memory, `miss` reads it from SQLite and makes it, `sent` brings 30 items.
"""

import json
import math
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
from recsys_vae.data.signals import SignalRules
from recsys_vae.models.mult_vae import MultVAE, MultVAEConfig
from recsys_vae.recommender import FallbackChain
from service.http.conversion import to_request, to_wire
from service.ranking import engine
from service.ranking.ranking import answer_all
from service.ranking.results import Answer
from service.ranking.served_model import Catalogue
from service.ranking.steps import finished
from service.schemas.recommendations import RecommendationRequest
from service.store.events import Event, EventStore
from service.store.history_cache import Histories
from service.store.user_history import UserHistory
from tests.benchmarks.records import record

N_ITEMS, USERS, EVENTS, ANSWERS, ROUNDS = 3000, 100, 60, 100, 9
RULES = {
    "none": SignalRules(),
    "dislikes": SignalRules(dislikes=("return",), dislike_below=1.5),
    "all": SignalRules(("return",), 1.5, (("click", 2.0),), "sum", 30.0),
}
KINDS = ("hit", "miss", "sent")


def main() -> None:
    """Measure, and print microseconds an answer."""
    found = record("signals", "service", measure)["figures"]
    for kind in KINDS:
        print(kind, *(f"{rules} {found[f'{kind}_{rules}']:.0f} us" for rules in RULES))
    print(json.dumps({"service_microseconds": found}))


def measure() -> dict[str, Any]:
    """Median over rounds of the processor time an answer, in microseconds, the rules taking turns."""
    with TemporaryDirectory() as folder:
        catalogue, ids = _catalogue(Path(folder) / "bundle")
        with closing(EventStore(f"sqlite:///{folder}/events.db")) as store:
            _fill(store, ids)
            times: dict[str, list[float]] = {}
            for _ in range(ROUNDS):
                for kind in KINDS:
                    for name, rules in RULES.items():
                        catalogue.rules = rules
                        times.setdefault(f"{kind}_{name}", []).append(_round(kind, catalogue, store, ids))
    return {name: median(found[1:]) for name, found in times.items()}


def _catalogue(path: Path) -> tuple[Catalogue, list[str]]:
    items = IdMap.from_values([f"item-{number}" for number in range(N_ITEMS)])
    model = MultVAE(N_ITEMS, MultVAEConfig(hidden=200, latent=64))
    write_bundle(path, model, items, popularity=np.ones(N_ITEMS), provenance=Provenance())
    return Catalogue(FallbackChain(Bundle.load(path)), is_warm=True), items.values.to_list()


def _fill(store: EventStore, ids: list[str]) -> None:
    rng = np.random.default_rng(0)
    day = 86_400_000_000
    events = [
        Event(f"{user} {place}", f"u{user}", ids[item], "return" if place % 10 == 0 else "click", 2.0, place * day)
        for user in range(USERS)
        for place, item in enumerate(rng.choice(N_ITEMS, EVENTS))
    ]
    store.append([events], "api")


def _round(kind: str, catalogue: Catalogue, store: EventStore, ids: list[str]) -> float:
    histories = Histories(store, capacity=0 if kind == "miss" else 500_000)
    bodies = [
        {"history": ids[start : start + 30]} if kind == "sent" else {"user_id": f"u{start % USERS}"}
        for start in range(ANSWERS)
    ]
    for body in bodies:
        _answer(catalogue, histories, json.dumps(body))
    begin = time.process_time()
    for body in bodies:
        _answer(catalogue, histories, json.dumps(body))
    return (time.process_time() - begin) / ANSWERS * 1e6


def _answer(catalogue: Catalogue, histories: Histories, body: str) -> dict[str, Any]:
    """What the engine does for one request, alone in its batch."""
    request = to_request(RecommendationRequest.model_validate_json(body))
    stored = UserHistory() if request.user_id is None else histories.history(request.user_id)
    query = replace(request.query, history=engine._joined(stored, request, catalogue))
    [found] = finished(answer_all(catalogue, [query]))
    assert isinstance(found, Answer)
    assert math.isfinite(found.items[0].score)
    return to_wire(engine.Page(found, None), "r", "main")


if __name__ == "__main__":
    main()
