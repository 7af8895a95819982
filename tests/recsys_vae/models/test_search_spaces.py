from dataclasses import fields

import pytest

from recsys_vae.errors import ConfigError
from recsys_vae.models.catalog import CATALOG
from recsys_vae.models.search_spaces import SPACES, OneOf, Real, Whole
from recsys_vae.models.trainable import Trainable
from recsys_vae.training.config import TrainingConfig


def settings(config: object) -> dict[str, object]:
    return {field.name: getattr(config, field.name) for field in fields(config)}  # type: ignore[arg-type]


@pytest.mark.parametrize("name", CATALOG)
def test_every_model_with_settings_has_a_space_of_settings_that_exist(name: str) -> None:
    entry = CATALOG[name]
    present = settings(entry.config())
    assert bool(SPACES[name]) == (bool(present) and name != "blend")  # its parts have theirs
    if issubclass(entry.model, Trainable):
        present |= settings(TrainingConfig())
    assert SPACES[name].keys() <= present.keys()


def test_no_space_is_left_without_a_model() -> None:
    assert SPACES.keys() == CATALOG.keys()


@pytest.mark.parametrize("name", CATALOG)
def test_every_space_holds_the_defaults(name: str) -> None:
    defaults = settings(TrainingConfig()) | settings(CATALOG[name].config())
    assert [setting for setting, bounds in SPACES[name].items() if defaults[setting] not in bounds] == []


@pytest.mark.parametrize("name", CATALOG)
def test_no_setting_of_a_model_is_named_like_one_of_the_training(name: str) -> None:
    assert settings(CATALOG[name].config()).keys().isdisjoint(settings(TrainingConfig()))


def test_what_lies_within_bounds() -> None:
    assert 10.0 in Real(1.0, 10.0)
    assert 10.1 not in Real(1.0, 10.0)
    assert 5 not in Real(1.0, 10.0)  # whole numbers would come back as real ones
    assert 300 in Whole(100, 500, step=100)
    assert 350 not in Whole(100, 500, step=100)
    assert 3.0 not in Whole(1, 5)
    assert 2 in OneOf((1, 2))
    assert 3 not in OneOf((1, 2))


@pytest.mark.parametrize(
    "bounds",
    [
        lambda: Real(2.0, 1.0),
        lambda: Real(0.0, 1.0, log=True),
        lambda: Real(0.0, float("inf")),
        lambda: Whole(100, 450, step=100),
        lambda: OneOf((1, 1)),
    ],
)
def test_bounds_that_make_no_range_are_refused(bounds) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError):
        bounds()
