"""A service over a hundred made-up films and sixty users, in a thread of its own."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from time import sleep
from urllib.request import Request, urlopen

import numpy as np
import polars as pl
import uvicorn
from scipy.sparse import csr_array

from recsys_vae.bundles.bundle import write_bundle
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.data.ids import IdMap
from recsys_vae.models import catalog
from recsys_vae.models.ease import EASEConfig
from service import timestamps
from service.app import create_app
from service.http.protocol import ServerProtocol
from service.settings import Settings
from service.store.events import Event, EventStore
from service.store.impressions import Impression, ImpressionTable
from service.store.live_tests import LiveTestTable, Plan
from service.store.user_sets import UserSets
from tests.browser.home import fill_day, write_home
from tests.browser.research import look_here

N_ITEMS, N_USERS = 100, 60
WORDS = (
    "Winter",
    "River",
    "The Long Night",
    "Stranger",
    "Harbour",
    "Glass",
    "Morning",
    "Two Roads",
    "Silence",
    "North",
)
GENRES = ("Drama", "Comedy", "Thriller", "Animation")


@dataclass(frozen=True)
class Served:
    """Where a service answers."""

    url: str


@contextmanager
def serve_here(folder: Path) -> Iterator[Served]:
    """Start it, and stop it."""
    look_here(folder / "home")
    write_home(folder / "home")
    variants = (
        f"main=9:{_bundle(folder, 'films')}",
        f"challenger=1:{_bundle(folder, 'films-challenger', 'popularity')}",
    )
    _bundle(folder, "films-before", l2=20.0)
    store = _store(folder)
    _run_experiment(store)
    with started(Settings(variant=variants, bundle_root=folder, store=store, access_log=False)) as served:
        yield served


@contextmanager
def started(settings: Settings) -> Iterator[Served]:
    """Start a service whose bundles and store are there, have it answer a list, and stop it."""
    listener, app = socket.create_server(("127.0.0.1", 0)), create_app(settings)
    server = uvicorn.Server(uvicorn.Config(app, http=ServerProtocol, log_config=None, ws="none"))
    thread = Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        sleep(0.05)
    fill_day(server.lifespan.state["services"].day)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    headers = {"Content-Type": "application/json", "X-Request-ID": "shown.1"}
    urlopen(Request(f"{url}/v1/recommendations", json.dumps({"user_id": "1"}).encode(), headers)).close()
    yield Served(url)
    server.should_exit = True
    thread.join()


def _matrix() -> np.ndarray:
    """Users like items near their own place on a circle; shape (users, items)."""
    random = np.random.default_rng(0)
    near = np.abs(np.arange(N_ITEMS)[None, :] - np.arange(N_USERS)[:, None] * N_ITEMS / N_USERS)
    return (random.random((N_USERS, N_ITEMS)) < np.exp(-np.minimum(near, N_ITEMS - near) / 8)).astype(np.float32)


def _ids() -> list[str]:
    return [str(number) for number in range(1, N_ITEMS + 1)]


def _bundle(folder: Path, name: str, model_name: str = "ease", l2: float = 100.0) -> Path:
    ids = _ids()
    order = sorted(range(N_ITEMS), key=lambda place: ids[place].encode())
    liked = _matrix()[:, order]
    model = catalog.create(model_name, N_ITEMS, EASEConfig(l2=l2) if model_name == "ease" else None)
    model.fit(csr_array(liked))
    table = pl.DataFrame(
        {
            "item_id": [ids[place] for place in order],
            "title": [f"{WORDS[place % 10]} {1 + place // 10} ({1950 + place // 2})" for place in order],
            "genres": [list(dict.fromkeys((GENRES[place % 4], GENRES[place // 30]))) for place in order],
            "year": [1950 + place // 2 for place in order],
        }
    )
    origin = Provenance(
        dataset="films", trained_on="all", n_users=N_USERS, metrics={"ndcg@100": 0.4 + l2 / 1e4, "recall@20": 0.3}
    )
    write_bundle(
        folder / name,
        model,
        IdMap.from_values(table["item_id"].to_list()),
        popularity=liked.sum(axis=0),
        provenance=origin,
        item_table=table,
    )
    return folder / name


def _store(folder: Path) -> str:
    ids, url = _ids(), f"sqlite:///{folder / 'events.db'}"
    events = [
        Event(f"{user} {item}", str(user + 1), ids[item], "view", 1.0, 1_700_000_000_000_000 + 86_400_000_000 * number)
        for number, (user, item) in enumerate(zip(*np.nonzero(_matrix()), strict=True))
    ]
    store = EventStore(url)
    store.append([events], "films")
    store.close()
    return url


def _run_experiment(url: str, n_users: int = 2000, days: int = 10) -> None:
    """Ten days of lists of two variants, clicked a little more where they are of the new one; and a set of users."""
    random, day = np.random.default_rng(1), 86_400_000_000
    since, lists, clicks = timestamps.now() - days * day - day // 2, [], []
    for number in range(n_users):
        name, user = ("challenger" if number % 10 == 0 else "main"), f"visitor-{number}"
        request, at = f"exp.{number}", since + int(random.random() * days * day)
        lists.append(Impression(request, user, name, f"{name}-version", True, ("7", "8"), at))
        if random.random() < (0.34 if name == "challenger" else 0.3):
            clicks.append(Event(request, user, "7", "click", 1.0, at + 1, request))
    store = EventStore(url)
    ImpressionTable(store.database).add(lists)
    store.take(clicks, "api")
    LiveTestTable(store.database).add(
        Plan("split", "main", "challenger", since, 1, "click-through", None, 0.05, 0.03, 20)
    )
    UserSets(store.database).save("regulars", [str(number) for number in range(1, 41)])
    store.close()
