"""The MovieLens 20M benchmark on a made-up sample in the layout of the real one."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.benchmarks import ml20m


@pytest.fixture
def sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recsys_home: Path) -> None:
    rng = np.random.default_rng(0)
    folder = tmp_path / "data" / "movielens-20m"
    folder.mkdir(parents=True)
    users, movies = np.repeat(np.arange(200), 20), rng.integers(0, 60, 4_000)
    rating = np.where(rng.random(4_000) < 0.8, 4.5, 2.0).astype(np.float32)
    ratings = pl.DataFrame({"user_id": users, "movie_id": movies, "rating": rating, "timestamp": np.arange(4_000)})
    ratings.unique(["user_id", "movie_id"]).write_parquet(folder / "ratings.parquet")
    titles = [f"Movie {movie}" for movie in range(60)]
    pl.DataFrame({"movie_id": np.arange(60), "title": titles, "genres": ["Comedy"] * 60}).write_parquet(
        folder / "movies.parquet"
    )
    monkeypatch.setenv("RECSYS_DATA_DIR", str(tmp_path / "data"))


@pytest.mark.usefixtures("sample")
def test_every_model_is_measured_beside_what_is_expected(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["ml20m", "--heldout", "40", "--epochs", "4"])
    ml20m.main()
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines() if line.startswith("{")]
    assert [list(line) for line in lines] == [["mult-vae"], ["rec-vae"], ["ease"]]
    value, error, expected = lines[2]["ease"]["ndcg@100"]
    assert 0 < value < 1
    assert error > 0
    assert expected == 0.42
