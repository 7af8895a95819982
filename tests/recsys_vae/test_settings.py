import math
from dataclasses import dataclass

import pytest

from recsys_vae.errors import ConfigError, DataError, UnknownNameError
from recsys_vae.settings import from_plain, with_plain_settings


@dataclass(frozen=True)
class Recipe:
    eggs: int = 3
    butter: float = 0.5
    name: str = "omelette"
    salted: bool = True
    sizes: tuple[int, ...] = ()
    inner: object = None

    def __post_init__(self) -> None:
        if self.eggs < 1:
            raise ConfigError("eggs")


@dataclass(frozen=True)
class Plain:
    eggs: int
    salt: bool = False


def test_texts_become_values_of_the_type_that_was_there() -> None:
    changed = with_plain_settings(Recipe(), {"eggs": "4", "butter": "1", "salted": "False"}, of="recipe")
    assert changed == Recipe(eggs=4, butter=1.0, salted=False)
    assert with_plain_settings(Recipe(), {}, of="recipe") == Recipe()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("eggs", 600.0, 600),
        ("eggs", " 4 ", 4),
        ("butter", 1, 1.0),
        ("butter", "1e-3", 1e-3),
        ("salted", False, False),
        ("salted", "FALSE", False),
        ("sizes", [1, 2.0], (1, 2)),
    ],
)
def test_a_value_may_come_in_another_type_that_says_the_same(name: str, value: object, expected: object) -> None:
    found = getattr(with_plain_settings(Recipe(), {name: value}, of="recipe"), name)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("eggs", "many", "a whole number"),
        ("eggs", "1.5", "a whole number"),
        ("eggs", 600.7, "a whole number"),
        ("eggs", True, "a whole number"),
        ("eggs", None, "a whole number"),
        ("eggs", math.inf, "a whole number"),
        ("butter", "nan", "a finite number"),
        ("butter", math.nan, "a finite number"),
        ("butter", "inf", "a finite number"),
        ("butter", True, "a finite number"),
        ("salted", "maybe", "true or false"),
        ("salted", 0.3, "true or false"),
        ("salted", 1, "true or false"),
        ("name", 3, "a text"),
        ("sizes", "12", "a list of whole numbers"),
        ("sizes", [1.5], "a list of whole numbers"),
        ("inner", (), "not to be set"),
    ],
)
def test_values_that_say_something_else_are_refused_by_name_and_type(name: str, value: object, kind: str) -> None:
    with pytest.raises(ConfigError, match=f"Setting {name} of recipe is {kind}"):
        with_plain_settings(Recipe(), {name: value}, of="recipe")


def test_a_dataclass_is_made_of_plain_values_that_it_knows() -> None:
    assert from_plain(Plain, {"eggs": 2}, "a plain thing") == Plain(2)
    with pytest.raises(UnknownNameError, match="part of a plain thing named 'butter'"):
        from_plain(Plain, {"eggs": 2, "butter": 1}, "a plain thing")
    assert from_plain(Plain, {"eggs": 2, "butter": 1}, "a plain thing", passing_over=True) == Plain(2)
    for content in ({"salt": True}, [2]):
        with pytest.raises(DataError):
            from_plain(Plain, content, "a plain thing")


def test_the_range_is_the_configurations_own_affair() -> None:
    with pytest.raises(ConfigError, match=r"^eggs$"):
        with_plain_settings(Recipe(), {"eggs": "0"}, of="recipe")


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'butter'"):
        with_plain_settings(Recipe(), {"buter": 1}, of="recipe")
