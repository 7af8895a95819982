"""Every page over catalogues of real size: as good as over a small one, and with as many rows, however many items."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from recsys_vae.bundles.bundle import write_bundle
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.data.ids import IdMap
from recsys_vae.data.interactions import Interactions
from recsys_vae.errors import UnavailableError
from recsys_vae.estimators.models import EASE
from recsys_vae.models import catalog
from recsys_vae.models.mult_vae import MultVAEConfig
from service import timestamps
from service.settings import Settings
from service.store.events import Event, EventStore
from service.store.impressions import Impression, ImpressionTable
from service.store.user_sets import UserSets
from tests.benchmarks.ui_replay_world import movielens
from tests.browser.conftest import SHOTS
from tests.browser.service import GENRES, WORDS, Served, started
from tests.browser.test_pages import faults, opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
N_ITEMS, N_USERS, LISTS = 100_000, 200, 3_000
MOST_ROWS, MOST_ELEMENTS = 400, 6_000
"""Of a page: lines of tables, entries of lists; and elements."""
PAGES = {
    "start": "/ui",
    "users": "/ui/users",
    "user": "/ui/users/1",
    "user-played": "/ui/users/1?add=50&filter=is:genres:Drama&boost=2::60&cap=8:genres&item=7",
    "items": "/ui/items?find=the",
    "item": "/ui/items/50",
    "item-edit": "/ui/items/50/edit",
    "catalogue": "/ui/catalogue",
    "catalogue-filtered": "/ui/catalogue?find=the&filter=is:genres:Drama&sort=least&show=never",
    "catalogue-often": "/ui/catalogue?show=often&often=1",
    "compare": "/ui/compare?set=regulars",
    "experiments": "/ui/experiments",
    "replay": "/ui/replay?request_id=shown.1",
    "quality": "/ui/quality",
    "data": "/ui/data",
    "images": "/ui/images",
    "deployments": "/ui/deployments",
    "versions": "/ui/deployments/versions",
    "operations": "/ui/operations?live=no",
    "jobs": "/ui/jobs",
}


def simulated(folder: Path) -> pl.DataFrame:
    """A bundle of 100,000 items, of popularity by Zipf's law, and what 200 users did."""
    random = np.random.default_rng(0)
    ids = sorted(map(str, range(1, N_ITEMS + 1)))
    numbers = np.array(ids, dtype=np.int64)
    table = pl.DataFrame({
        "item_id": ids,
        "title": [f"{WORDS[number % 10]} {1 + number // 10}" for number in numbers],
        "genres": [[GENRES[number % 4], GENRES[number // 30 % 4]] for number in numbers],
        "year": 1950 + numbers % 75,
    })  # fmt: skip
    model = catalog.create("mult-vae", N_ITEMS, MultVAEConfig(hidden=8, latent=8))
    popularity = (10_000 / numbers).astype(np.int64).astype(np.float32)
    origin = Provenance(dataset="simulated", trained_on="nothing", n_users=N_USERS)
    for name in ("first", "second"):
        write_bundle(
            folder / name, model, IdMap.from_values(ids), popularity=popularity, provenance=origin, item_table=table
        )
    pairs = [(user, int(item) % N_ITEMS + 1) for user in range(1, N_USERS + 1) for item in random.zipf(1.2, 40)]
    return pl.DataFrame(pairs, schema=["user_id", "item_id"], orient="row").cast(pl.String).unique(maintain_order=True)


def movielens_1m(folder: Path) -> pl.DataFrame:
    """Two bundles that have learned from MovieLens 1M, and what its first 200 users like."""
    try:
        likes, films = movielens()
    except UnavailableError as error:
        pytest.skip(str(error))
    data = Interactions.from_frame(likes, user="user_id", item="item_id")
    origin = Provenance(dataset="movielens-1m", trained_on="all", n_users=len(data.users))
    for name, l2 in (("first", 300.0), ("second", 1000.0)):
        model = EASE(l2=l2).fit(data).model
        write_bundle(
            folder / name, model, data.items, popularity=data.item_counts(), provenance=origin, item_table=films
        )
    return likes.filter(pl.col("user_id").cast(pl.Int64) <= N_USERS)


def store_of(folder: Path, likes: pl.DataFrame) -> str:
    """With these events, a set of users, and lists of the items that were touched."""
    url, random, now = f"sqlite:///{folder / 'events.db'}", np.random.default_rng(1), timestamps.now()
    events = [Event(f"{user} {item}", user, item, "view", 1.0, now - place * 10**9)
              for place, (user, item) in enumerate(likes.iter_rows())]  # fmt: skip
    items, users = likes["item_id"].to_numpy(), likes["user_id"].unique().to_numpy()
    lists = [
        Impression(f"r{place}", str(random.choice(users)), "main", "v", True,
                   tuple(dict.fromkeys(map(str, random.choice(items, 20)))), now - place * 10**9)
        for place in range(LISTS)
    ]  # fmt: skip
    store = EventStore(url)
    store.append([events], "simulated")
    ImpressionTable(store.database).add(lists)
    UserSets(store.database).save("regulars", [str(user) for user in users[:20]])
    store.close()
    return url


@pytest.fixture(scope="module", params=[simulated, movielens_1m], ids=lambda world: world.__name__)
def large(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Served]]:
    folder = tmp_path_factory.mktemp("large")
    likes = request.param(folder)
    variants = tuple(f"{variant}={weight}:{folder / name}"
                     for variant, weight, name in (("main", 9, "first"), ("challenger", 1, "second")))  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECSYS_HOME", str(folder / "home"))
        told = {"bundle_root": folder, "store": store_of(folder, likes), "access_log": False, "deadline_ms": 60_000}
        with started(Settings(variant=variants, **told)) as served:
            yield request.param.__name__, served


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("name", PAGES)
def test_every_page_over_a_large_catalogue_is_good_and_bounded(
    browser: "Browser", large: tuple[str, Served], name: str, width: int
) -> None:
    world, served = large
    page, complaints = opened(browser, served, PAGES[name], "light", width)
    SHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SHOTS / f"{world}-{name}-{width}.png", full_page=True)
    assert page.locator("h1").count() == 1
    assert page.locator("main tr, main li").count() <= MOST_ROWS
    assert page.locator("*").count() <= MOST_ELEMENTS
    assert faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert [one for one in complaints if "status of 4" not in one] == []  # of the page itself
    page.context.close()
