from dataclasses import fields

import pytest

from recsys_vae.errors import ConfigError
from recsys_vae.models.catalog import CATALOG, search_space
from recsys_vae.models.search_space import OneOf, Range, Real, Whole
from recsys_vae.models.trainable import Trainable
from recsys_vae.training.config import TrainingConfig

LEARNING: dict[str, Range] = {"learning_rate": Real(1e-4, 1e-2, log=True), "batch_size": OneOf((100, 200, 500, 1000))}
WIDTHS: dict[str, Range] = {
    "hidden": Whole(100, 1000, step=100), "latent": Whole(50, 400, step=50), "dropout": Real(0.1, 0.8),
    "kl_weight": Real(0.01, 1.0, log=True),
}  # fmt: skip
WEIGHTS: dict[str, Range] = {"weights": OneOf(("binary", "log", "value"))}
SIGNS: dict[str, Range] = WEIGHTS | {"dislikes": Real(0.0, 1.0)}
SEARCHED: dict[str, dict[str, Range]] = {
    "popularity": {},
    "ease": {"l2": Real(10.0, 10_000.0, log=True)} | SIGNS,
    "edlae": {"dropout": Real(0.0, 0.9), "l2": Real(1.0, 10_000.0, log=True)} | SIGNS,
    "elsa": LEARNING | {"factors": OneOf((128, 256, 512, 1024))} | SIGNS,
    "graph-filter": {
        "user_exponent": Real(0.2, 0.8), "item_exponent": Real(0.2, 0.8), "popularity_exponent": Real(-0.4, 0.4),
        "rank": Whole(64, 512, step=64), "low_pass": Real(0.0, 1.0), "sharpening": Real(0.0, 3.0),
    } | WEIGHTS,
    "ials": {
        "factors": OneOf((32, 64, 128, 256, 512)), "iterations": Whole(4, 32, step=4),
        "unobserved": Real(0.003, 3.0, log=True), "l2": Real(0.0003, 0.1, log=True), "l2_exponent": Real(0.0, 1.0),
        "weights": OneOf(("binary", "log", "value")),
    },
    "mult-dae": LEARNING | {
        "hidden": Whole(100, 800, step=100), "dropout": Real(0.1, 0.8), "l2": Real(1e-4, 1.0, log=True),
        "weight_decay": Real(0.0, 2.0),
    } | SIGNS,
    "mult-vae": LEARNING | WIDTHS | {"metadata_dropout": Real(0.0, 0.5)} | SIGNS,
    "rec-vae": LEARNING | {
        "latent": Whole(50, 400, step=50), "dropout": Real(0.1, 0.8), "kl_weight": Real(0.01, 1.0, log=True),
        "weight_decay": Real(0.0, 1.0), "metadata_dropout": Real(0.0, 0.5),
    } | SIGNS,
    "h-vamp": LEARNING | WIDTHS | SIGNS,
    "conditional-vae": LEARNING | WIDTHS | {"short": Real(0.0, 1.0)} | SIGNS,
    "blend": {},
}  # fmt: skip
"""In their order: with another, a seed draws other settings, and a study that was begun goes on differently.

What weights and dislikes ask for comes last: where there are none it is left out."""


def settings(config: object) -> dict[str, object]:
    return {field.name: getattr(config, field.name) for field in fields(config)}  # type: ignore[arg-type]


@pytest.mark.parametrize("name", CATALOG)
def test_every_model_with_settings_has_a_space_of_settings_that_exist(name: str) -> None:
    entry = CATALOG[name]
    present = settings(entry.config())
    assert bool(search_space(name)) == (bool(present) and name != "blend")  # its parts have theirs
    if issubclass(entry.model, Trainable):
        present |= settings(TrainingConfig())
    assert search_space(name).keys() <= present.keys()


@pytest.mark.parametrize("name", SEARCHED)
def test_what_is_searched_stays_the_same(name: str) -> None:
    assert list(search_space(name).items()) == list(SEARCHED[name].items())


@pytest.mark.parametrize("name", CATALOG)
def test_a_space_is_no_setting(name: str) -> None:
    assert "SEARCH_SPACE" not in settings(CATALOG[name].config())


@pytest.mark.parametrize("name", CATALOG)
def test_every_space_holds_the_defaults(name: str) -> None:
    defaults = settings(TrainingConfig()) | settings(CATALOG[name].config())
    assert [setting for setting, bounds in search_space(name).items() if defaults[setting] not in bounds] == []


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
