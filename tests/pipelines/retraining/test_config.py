"""Settings of the weekly job: read whole, or refused with the name of what is wrong."""

from pathlib import Path

import pytest

from pipelines.retraining.config import as_arguments, read_config
from recsys_vae.errors import ConfigError

LEAST = 'name = "shop"\n[collect]\nlogs = ["*.csv"]\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "weekly.toml"
    path.write_text(text)
    return path


def test_what_is_not_said_has_a_default(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, LEAST))
    assert (config.split.test, config.full.after_updates, config.recommend) == (7.0, 3, None)


def test_options_stand_as_on_a_command_line() -> None:
    options = {"min_user": 5, "map": ["user_id=u", "item_id=i"], "returns": True, "overwrite": False, "since": "2026"}
    assert as_arguments(options) == [
        *("--min-user", "5", "--map", "user_id=u", "--map", "item_id=i"),
        *("--returns", "--since", "2026"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "shop"\n[collect]\n', "collect: name logs, or store = true"),
        (LEAST + "[splits]\ntest = 3\n", "splits is not known"),
        (LEAST + "[split]\ntest = 0\n", "split.test: Input should be greater than 0"),
        (LEAST.replace("shop", "a/b"), "a/b"),
        ("name = shop", "is no TOML file"),
        (LEAST + "[ingest]\nmin_user = 1979-05-27\n", "ingest.min_user"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_config(written(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml cannot be read"):
        read_config(tmp_path / "nowhere.toml")
