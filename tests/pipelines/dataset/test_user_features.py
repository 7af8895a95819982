from pathlib import Path

import polars as pl
import pytest

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.fields import Fields, check_fields
from pipelines.dataset.splits import load_split
from pipelines.dataset.user_features import UserMetadata
from recsys_vae.data.features import Field
from recsys_vae.data.ids import IdMap
from recsys_vae.errors import ConfigError, DataError
from tests.pipelines.datasets_of_tastes import dataset_of_tastes, with_user_metadata


@pytest.fixture
def dataset(tmp_path: Path) -> DatasetDir:
    return with_user_metadata(dataset_of_tastes(tmp_path / "tastes"))


def test_users_are_read_by_the_schema_of_those_that_are_learned_from(dataset: DatasetDir) -> None:
    known = UserMetadata.learn(dataset, IdMap.from_values(["u000", "u001"]))
    assert known.schema.widths == (2, 2)
    rows = known.rows(pl.Series(["u001", "u059", "nobody", "u000"]))
    # left, right, standardised age (20 and 21 were learned from), whether it is known; u059 is not in the table
    assert rows.toarray().tolist() == [[0, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0], [1, 0, -1, 1]]


def test_a_dataset_without_fields_says_nothing(tmp_path: Path) -> None:
    dataset = dataset_of_tastes(tmp_path / "tastes")
    known = UserMetadata.learn(dataset, IdMap.from_values(["u000"]))
    assert known.schema.width == 0
    assert known.rows(pl.Series(["u000", "u001"])).shape == (2, 0)
    part = load_split(dataset, "strong").test
    assert known.of(part) is part


def test_held_out_users_get_their_rows(dataset: DatasetDir) -> None:
    split = load_split(dataset, "strong")
    described = UserMetadata.learn(dataset, split.train.users).of(split.test)
    assert described.metadata is not None
    assert described.metadata.shape == (len(split.test.users), 4)


def test_fields_survive_their_file(tmp_path: Path) -> None:
    path = tmp_path / "fields.json"
    assert Fields.read(path) == Fields()
    fields = Fields((Field("age", "number"),), (Field("genres", "set"),))
    fields.write(path)
    assert Fields.read(path) == fields
    path.write_text("[1]")
    with pytest.raises(DataError, match="does not declare fields"):
        Fields.read(path)


def test_fields_that_no_table_has_are_refused(dataset: DatasetDir) -> None:
    with pytest.raises(ConfigError, match=r"--user-field shoe:number names no column .* user_id, side, age"):
        check_fields([Field("shoe", "number")], dataset.users_path, "--user-field")
    with pytest.raises(ConfigError, match="no such table"):
        check_fields([Field("shoe", "number")], dataset.path / "nothing.parquet", "--user-field")
