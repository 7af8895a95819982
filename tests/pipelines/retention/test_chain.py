"""Who is erased in the store has left everything under RECSYS_HOME after the next weekly run, the models too."""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from pipelines.cli import build
from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.matrices import encode
from pipelines.retraining import job
from pipelines.retraining.journal import Journal
from recsys_vae.bundles.bundle import Bundle
from recsys_vae.models.ease import EASE
from service.store.events import Event, EventStore
from service.timestamps import to_microseconds
from tests.benchmarks.shop_weeks import BEGIN, Shop

PLANTED = "planted-person-7f3a"
SETTINGS = """name = "shop"
[collect]
logs = ["{logs}/*.csv"]
store = true
[full]
new_items = 0.9
[train]
model = "ease"
[recommend]
k = 5
[clean]
keep_runs = 1
keep_versions = 1
days = 0
events_older_than = 36500
"""


def week(shop: Shop, number: int, logs: Path) -> None:
    """A log of the shop, in which the planted user is a customer like others."""
    path = shop.write(number, logs)
    start = int((BEGIN + timedelta(weeks=number)).timestamp())
    with path.open("a", encoding="utf-8") as log:
        log.write("".join(f"{PLANTED},{item},{start + 100 + item}\n" for item in range(number, number + 4)))
        log.write(f"{PLANTED},,{start}\n")


def retrain(folder: Path) -> Journal:
    done = CliRunner().invoke(build(), ["retrain", "--config", str(folder / "weekly.toml")])
    root = job.job_folder("shop")
    log = (job.runs(root)[-1] / "log.txt").read_text() if job.runs(root) else ""
    assert done.exit_code == 0, f"{log}\n{done.output}\n{done.exception}"
    journal = job.latest(root)
    assert journal is not None
    return journal


def named_in(folder: Path, user: str) -> Iterator[str]:
    """Files that name a user, as bytes or in a table."""
    readers = {".parquet": pl.read_parquet, ".arrow": pl.read_ipc}
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        table = readers[path.suffix](path) if path.suffix in readers else pl.DataFrame()
        texts = (column for column in table.iter_columns() if column.dtype == pl.String)
        if user.encode() in path.read_bytes() or any(text.str.contains(user, literal=True).any() for text in texts):
            yield str(path.relative_to(folder))


@pytest.mark.slow
def test_erasing_a_user_reaches_everything(tmp_path: Path, mlflow_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, logs, shop = mlflow_home, tmp_path / "logs", Shop()
    for name in ("MLFLOW_TRACKING_URI", "RECSYS_STORE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "weekly.toml").write_text(SETTINGS.format(logs=logs))
    for number in range(5):
        week(shop, number, logs)
    moment = to_microseconds(BEGIN + timedelta(weeks=4, days=6))
    with closing(EventStore(f"sqlite:///{home / 'events.db'}")) as store:
        sent = [Event(f"{user} {n}", user, str(n), None, 1.0, moment + n) for user in (PLANTED, "1") for n in range(9)]
        store.take(sent, "api")
        first = retrain(tmp_path)
        held = set(named_in(home, PLANTED))
        assert {"datasets/shop/interactions.parquet", f"retraining/shop/runs/{first.run}/lists.parquet"} <= held
        store.erase(PLANTED)
        week(shop, 5, logs)
        second = retrain(tmp_path)
    assert list(named_in(home, PLANTED)) == []
    assert first.facts["due"]["what"] == "full training"
    assert second.facts["due"]["what"] == "update"
    assert second.steps["erase"].figures["erased"].startswith("1 of 1 users")
    known = encode(DatasetDir.open("shop").interactions())
    shipped = Bundle.load(Path(second.facts["shipped"]))
    assert shipped.manifest.provenance.dataset_fingerprint == known.fingerprint()
    assert shipped.manifest.lineage["came_in"]["erased_users"] == 1
    never_seen = EASE(known.n_items, shipped.model.config)
    never_seen.fit(known.matrix)
    histories = known.matrix[:50]
    assert np.allclose(shipped.model.score(histories), never_seen.score(histories), rtol=1e-4, atol=1e-5)
