"""A service over a hundred made-up films and sixty users, in a thread of its own."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from time import sleep

import numpy as np
import polars as pl
import uvicorn
from scipy.sparse import csr_array

from recsys_vae.bundles.bundle import write_bundle
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.data.ids import IdMap
from recsys_vae.models import catalog
from recsys_vae.models.ease import EASEConfig
from service.app import create_app
from service.http.protocol import ServerProtocol
from service.settings import Settings
from service.store.events import Event, EventStore
from tests.browser.home import fill_day, write_home

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
    listener = socket.create_server(("127.0.0.1", 0))
    write_home(folder / "home")
    bundle, _ = _bundle(folder, "films"), _bundle(folder, "films-before", l2=20.0)
    app = create_app(Settings(bundle=bundle, bundle_root=folder, store=_store(folder), access_log=False))
    server = uvicorn.Server(uvicorn.Config(app, http=ServerProtocol, log_config=None, ws="none"))
    thread = Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        sleep(0.05)
    fill_day(server.lifespan.state["services"].day)
    yield Served(f"http://127.0.0.1:{listener.getsockname()[1]}")
    server.should_exit = True
    thread.join()


def _matrix() -> np.ndarray:
    """Users like items near their own place on a circle; shape (users, items)."""
    random = np.random.default_rng(0)
    near = np.abs(np.arange(N_ITEMS)[None, :] - np.arange(N_USERS)[:, None] * N_ITEMS / N_USERS)
    return (random.random((N_USERS, N_ITEMS)) < np.exp(-np.minimum(near, N_ITEMS - near) / 8)).astype(np.float32)


def _ids() -> list[str]:
    return [str(number) for number in range(1, N_ITEMS + 1)]


def _bundle(folder: Path, name: str, l2: float = 100.0) -> Path:
    ids = _ids()
    order = sorted(range(N_ITEMS), key=lambda place: ids[place].encode())
    liked = _matrix()[:, order]
    model = catalog.create("ease", N_ITEMS, EASEConfig(l2=l2))
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
