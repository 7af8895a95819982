"""What lies in the home of the service that browsers look at: three weekly runs, a dataset; and a day of metrics."""

import json
from datetime import UTC, datetime, timedelta
from math import sin
from pathlib import Path
from random import Random
from time import time

import polars as pl

from service.observability.day import Day
from service.observability.metrics import Metrics

BEGAN = datetime(2026, 11, 9, 4, 0, tzinfo=UTC)
STEPS = (
    "collect",
    "ingest",
    "find-erased",
    "erase",
    "check",
    "split",
    "train",
    "evaluate",
    "gate",
    "publish",
    "promote",
)
NOTE = "ndcg@20, all users: 0.2466 against 0.2545, difference -0.0329 to -0.0024: it is worse than the champion."


def write_home(home: Path) -> None:
    """Runs and a dataset, as the files of the commands that make them have it."""
    for week, status in enumerate(("done", "stopped", "running")):
        began = BEGAN + timedelta(days=7 * week)
        folder = home / "retraining" / "films" / "runs" / f"{began:%Y%m%dT%H%M%SZ}"
        folder.mkdir(parents=True)
        steps = STEPS[: 9 if status == "stopped" else 7 if status == "running" else 11]
        (folder / "run.json").write_text(json.dumps(_run(folder.name, began, status, steps)))
        lines = [
            f"{began:%Y-%m-%dT%H:%M:%SZ} films {folder.name} {n}/15 {step}: begins" for n, step in enumerate(steps, 1)
        ]
        (folder / "log.txt").write_text("\n".join(lines) + "\n")
        (folder / "02-ingest.log").write_text("$ recsys ingest films.csv --to films\nrows in 4,102\n")
    _write_dataset(home / "datasets" / "films")


def fill_day(day: Day) -> None:
    """Six hours of requests that come and go."""
    metrics, random, now = Metrics(), Random(0), time()
    for place in range(6 * 240, -1, -1):
        for _ in range(round(6 + 4 * sin(place / 120))):
            tier, slow = random.choice(("history", "history", "prior", "popular")), 0.05 if tier_is_slow(random) else 0
            metrics.count_request("POST", "/v1/recommendations", 200, random.uniform(0.002, 0.02) + slow, tier)
            metrics.count_history_lookup(is_hit=random.random() < 0.7)
        metrics.count_request("POST", "/v1/events", random.choice((200, 200, 422, 503)), random.uniform(0.001, 0.01))
        metrics.show_queue(random.randrange(5))
        if place % 97 == 0:
            metrics.count_store_error("read")
        day.take(metrics.families(), now - 15 * place, 4e8 + 1e5 * place)


def tier_is_slow(random: Random) -> bool:
    """One request in twenty."""
    return random.random() < 0.05


def _run(name: str, began: datetime, status: str, steps: tuple[str, ...]) -> dict[str, object]:
    records = {
        step: {
            "name": step, "fingerprint": "f", "status": "skipped" if step in ("find-erased", "erase") else "done",
            "started_at": began.isoformat(), "seconds": 0.0 if step == "erase" else 3.5 * number,
            "command": ["recsys", step, "films"], "figures": {"rows read in all": 4102} if step == "ingest" else {},
            "note": "nobody was erased who is held here" if step == "erase" else "",
        }
        for number, step in enumerate(steps)
    }  # fmt: skip
    records[steps[-1]]["status"] = status
    if status == "stopped":
        records[steps[-1]]["note"] = NOTE
    return {
        "format": 1, "run": name, "job": "films", "started_at": began.isoformat(), "status": status,
        "note": NOTE if status == "stopped" else "", "steps": records,
    }  # fmt: skip


def _write_dataset(folder: Path) -> None:
    folder.mkdir(parents=True)
    lost = [{"name": "min_rating", "rows": 812}, {"name": "duplicate", "rows": 90}, {"name": "min_user", "rows": 16}]
    kept = {
        "interactions": 3181,
        "users": 60,
        "items": 100,
        "first": "2026-09-01T00:00:00Z",
        "last": "2026-11-22T00:00:00Z",
    }
    told = {
        "dataset": "films", "sources": ["films.csv"], "taken_for": ["delimited, separated by 'comma', with a header"],
        "rows_in": 4102, "quarantined": [{"name": "weight is not a number", "rows": 3}], "lost": lost, "kept": kept,
        "rules": {"min_rating": 3.0, "min_user": 5}, "notes": ["12 users have positions that contradict their times"],
    }  # fmt: skip
    (folder / "summary.json").write_text(json.dumps(told))
    random, first = Random(0), datetime(2026, 9, 1, tzinfo=UTC)
    days = sorted(first + timedelta(days=82 * random.random()) for _ in range(3181))
    pl.DataFrame({"user_id": ["u"] * 3181, "timestamp": days}).write_parquet(folder / "interactions.parquet")
    bad = {"user_id": ["7", "8", "\u202e9"], "weight": ["bad", "<script>alert(1)</script>", ""], "line": [12, 40, 41]}
    pl.DataFrame(bad | {"reason": ["weight is not a number"] * 3}).write_parquet(folder / "quarantine.parquet")
