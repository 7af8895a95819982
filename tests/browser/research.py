"""A RECSYS_HOME for the pages about files: a dataset with quarantine, image models, decisions and runs."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import polars as pl
import torch

from recsys_vae.images.data.image_set import ImageSet
from recsys_vae.images.models import catalog
from recsys_vae.images.models.vae import VAEConfig
from recsys_vae.images.models.vq_vae import VQVAEConfig
from recsys_vae.images.saved import Origin, save_image_model
from recsys_vae.images.training.config import ImageTrainingConfig
from recsys_vae.images.training.loop import train_images

SIDE: Final = 16
CLASSES: Final = ("disc", "square", "bar")
HOSTILE: Final = "<script>alert(1)</script>"
FIRST: Final = datetime(2026, 1, 1, tzinfo=UTC)


def look_here(home: Path) -> None:
    """Fill a folder, and have this process take it for RECSYS_HOME."""
    home.mkdir()
    os.environ["RECSYS_HOME"] = str(home)
    _dataset(home / "datasets" / "shop")
    _decisions(home)
    for name in ("vae", "vq-vae"):
        _image_model(home / "models" / name, name)


def _dataset(folder: Path) -> None:
    folder.mkdir(parents=True)
    days = [FIRST + timedelta(days=number % 90, hours=number % 24) for number in range(2000) if number % 90 % 7]
    pl.DataFrame({"timestamp": days}).write_parquet(folder / "interactions.parquet")
    bad = [("log.csv", 17, "user_id is missing", "item_id=3"), ("log.csv", 90, "weight is not a number", HOSTILE)]
    pl.DataFrame(bad, schema=["file", "line", "reason", "raw"], orient="row").write_parquet(
        folder / "quarantine.parquet"
    )
    told = {
        "rows_in": 3000,
        "quarantined": [{"name": "user_id is missing", "rows": 40}, {"name": "weight is not a number", "rows": 12}],
        "lost": [{"name": "min_rating", "rows": 800}, {"name": "duplicate", "rows": 434}],
        "kept": {"interactions": len(days), "users": 300, "items": 90, "first": days[0].isoformat(),
                 "last": days[-1].isoformat()},
        "sources": ["log.csv"],
        "taken_for": ["delimited, separated by 'comma', with a header"],
        "notes": [f"a note with {HOSTILE}"],
    }  # fmt: skip
    (folder / "summary.json").write_text(json.dumps(told))


def _decisions(home: Path) -> None:
    (home / "decisions" / "films").mkdir(parents=True)
    for number, (ours, theirs, word) in enumerate(
        [(0.21, 0.18, "promoted"), (0.2, 0.21, "refused"), (0.24, 0.21, "promoted")]
    ):
        at = FIRST + timedelta(weeks=number)
        told: dict[str, Any] = {
            "version": str(number + 1),
            "champion_version": str(number) if number else None,
            "decision": word,
            "reasons": [f"Because of {HOSTILE}."],
            "warnings": ["Undecided on 'new users'."],
            "challenger": {"bundle": f"ease-{number}2345678"},
            "asked": {"dataset": "films", "place": "test part of split 'retrain'"},
            "slices": [
                _slice(name, ours - less, theirs - less) for less, name in enumerate(("all users", "new users"))
            ],
            "rails": [
                {"name": "coverage", "challenger": 0.4, "champion": 0.3, "limit": "at least 0.01", "holds": True}
            ],
            "decided_at": at.isoformat(),
        }
        (home / "decisions" / "films" / f"2026010{number + 1}T000000-version-{number + 1}.json").write_text(
            json.dumps(told)
        )
        run = home / "retraining" / "films" / "runs" / f"2026010{number + 1}T000000Z"
        run.mkdir(parents=True)
        steps = {
            "evaluate": {"figures": {"recall@20": ours, "ndcg@100": ours / 2}},
            "check": {"figures": {"against": "films up to 2026-01-01", "warn: volume_fall": 0.7}},
        }
        (run / "run.json").write_text(json.dumps({"started_at": at.isoformat(), "status": "done", "steps": steps}))


def _slice(name: str, ours: float, theirs: float) -> dict[str, Any]:
    low, high, verdict = ours - theirs - 0.02, ours - theirs + 0.02, "better" if ours - theirs > 0.02 else "undecided"
    figures = {"n_users": 500, "champion": max(theirs, 0.1), "challenger": max(ours, 0.12), "low": low, "high": high}
    return {"name": name, "metric": "ndcg@20", "verdict": verdict} | figures


def _image_model(folder: Path, name: str) -> None:
    """A tiny one, trained on shapes that are drawn here."""
    torch.manual_seed(0)
    images = _shapes(600)
    config = VAEConfig(hidden="64", latent=6) if name == "vae" else VQVAEConfig(codes=16, width=8, channels=8, blocks=1)
    model = catalog.create(name, images.shape, config)
    settings = ImageTrainingConfig(epochs=12 if name == "vae" else 2, learning_rate=3e-3, pixels="static")
    result = train_images(model, images.only(slice(500)), settings, progress=False)
    origin = Origin(dataset="shapes", n_images=500, labels=list(CLASSES), pixels="static", epochs=result.epoch)
    save_image_model(folder, model, origin, result.history, images.only(slice(500, 600)))


def _shapes(n: int) -> ImageSet:
    y = torch.arange(n) % len(CLASSES)
    row, column = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    centre = torch.rand(n, 2, 1, 1) * 6 + 5
    up, right = (row - centre[:, 0]).abs(), (column - centre[:, 1]).abs()
    kinds = torch.stack([up**2 + right**2 <= 16, (up <= 3) & (right <= 3), (up <= 1) & (right <= 5)])
    return ImageSet((kinds[y, torch.arange(n)].unsqueeze(1) * 255).to(torch.uint8), y)
