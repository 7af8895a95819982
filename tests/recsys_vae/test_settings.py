from dataclasses import dataclass

import pytest

from recsys_vae.errors import ConfigError, UnknownNameError
from recsys_vae.settings import with_plain_settings


@dataclass(frozen=True)
class Recipe:
    eggs: int = 3
    butter: float = 0.5
    name: str = "omelette"
    salted: bool = True

    def __post_init__(self) -> None:
        if self.eggs < 1:
            raise ConfigError("eggs")


def test_texts_become_values_of_the_type_that_was_there() -> None:
    changed = with_plain_settings(Recipe(), {"eggs": "4", "butter": "1", "salted": "False"}, of="recipe")
    assert changed == Recipe(eggs=4, butter=1.0, salted=False)
    assert with_plain_settings(Recipe(), {}, of="recipe") == Recipe()


@pytest.mark.parametrize(("name", "value"), [("eggs", "many"), ("eggs", "1.5"), ("salted", "maybe"), ("eggs", None)])
def test_values_that_cannot_be_read_are_refused_by_name_and_type(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"Setting {name} of recipe is a (int|bool)"):
        with_plain_settings(Recipe(), {name: value}, of="recipe")


def test_the_range_is_the_configurations_own_affair() -> None:
    with pytest.raises(ConfigError, match=r"^eggs$"):
        with_plain_settings(Recipe(), {"eggs": "0"}, of="recipe")


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'butter'"):
        with_plain_settings(Recipe(), {"buter": 1}, of="recipe")
