from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.matrices import encode
from pipelines.dataset.split_recipes import recipe
from pipelines.dataset.splits import load_split, make_split
from pipelines.training.decay import Decay, decayed, say_what_is_later
from recsys_vae.errors import ConfigError
from tests.pipelines import logs_of_tastes

START = datetime(2024, 1, 1, tzinfo=UTC)


def world(path: Path, rows: list[tuple[str, str, datetime | None]]) -> DatasetDir:
    schema = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Datetime("us", "UTC")}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    rest = {"weight": pl.lit(4.0, pl.Float32), "position": pl.lit(None, pl.UInt32)}
    return logs_of_tastes.dataset(path, frame.with_columns(**rest))


def test_weights_halve_with_age_and_unknown_times_are_the_oldest(tmp_path: Path) -> None:
    times = [START, START + timedelta(days=10), START + timedelta(days=20), None]
    found = world(tmp_path / "d", [("a", str(n), time) for n, time in enumerate(times)])
    weights = decayed(found, encode(found.interactions()), Decay(10.0, now=START + timedelta(days=20)))
    assert weights.toarray()[0] == pytest.approx([0.25, 0.5, 1.0, 0.25], rel=1e-5)
    later = decayed(found, encode(found.interactions()), Decay(10.0, now=datetime(2024, 1, 11)))
    assert later.toarray()[0] == pytest.approx([0.5, 1.0, 1.0, 0.5], rel=1e-5)
    with pytest.raises(ConfigError, match="above 0"):
        Decay(0.0)


@pytest.mark.parametrize("n", [20, 1000])
def test_one_row_of_the_year_2099_does_not_make_all_others_old(tmp_path: Path, n: int) -> None:
    rows: list[tuple[str, str, datetime | None]] = [("a", f"{day:04}", START + timedelta(days=day)) for day in range(n)]
    sound, odd = world(tmp_path / "sound", rows), world(tmp_path / "odd", [*rows, ("b", "0000", datetime(2099, 1, 1))])
    expected, found = (decayed(one, encode(one.interactions()), Decay(30.0)).toarray() for one in (sound, odd))
    assert found[0] == pytest.approx(expected[0], rel=0.1)  # the quantile may lie a day further
    assert found[1, 0] == 1.0
    assert say_what_is_later(odd, Decay(30.0)).startswith("1 event lies after")
    assert "2099-01-01" in say_what_is_later(odd, Decay(30.0))
    assert not say_what_is_later(sound, Decay(30.0))
    assert say_what_is_later(sound, Decay(30.0, now=START)).startswith(f"{n - 1:,} events lie after 2024-01-01")


def test_popularity_that_decays_learns_from_the_training_part_alone(tmp_path: Path) -> None:
    log = logs_of_tastes.frame(60)
    dataset = logs_of_tastes.dataset(tmp_path / "d", log)
    make_split(dataset, recipe("temporal"))
    split = load_split(dataset, "temporal")
    assert split.refit is not None
    for part, before in ((split.train, split.windows["validation"]), (split.refit, split.windows["test"])):
        weights = decayed(dataset, part, Decay(5.0, before=before))
        assert (weights.indices.tolist(), weights.indptr.tolist()) == (
            part.matrix.indices.tolist(), part.matrix.indptr.tolist()
        )  # fmt: skip
        assert weights.data.max() == 1.0


def test_a_half_life_without_times_is_refused(tmp_path: Path) -> None:
    found = world(tmp_path / "d", [("a", "1", None)])
    with pytest.raises(ConfigError, match="no interaction of this dataset has one"):
        decayed(found, encode(found.interactions()), Decay(10.0))
