from datetime import datetime

import pytest

from pipelines.dataset.split_recipes import LastOut, Strong, Temporal, recipe
from recsys_vae.errors import ConfigError, UnknownNameError


def test_options_that_are_not_given_keep_their_default() -> None:
    assert recipe("strong", seed=None, fold_in=0.5) == Strong(fold_in=0.5)
    assert recipe("last-out") == LastOut()


def test_an_option_of_another_protocol_is_named() -> None:
    with pytest.raises(ConfigError, match="--fold-in is not an option of protocol 'last-out'"):
        recipe("last-out", fold_in=0.5)


def test_a_value_outside_its_range_is_named() -> None:
    with pytest.raises(ConfigError, match=r"--fold-in: .*less than 1, got 1.5"):
        recipe("strong", fold_in=1.5)


def test_an_unknown_protocol_gets_the_one_probably_meant() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'last-out'"):
        recipe("last-one")


def test_a_cut_in_time_has_two_moments_or_none() -> None:
    with pytest.raises(ConfigError, match="both moments"):
        recipe("temporal", test_from=datetime(2024, 1, 1))
    assert isinstance(recipe("temporal"), Temporal)


def test_a_cut_in_time_keeps_the_moments_or_the_shares_that_it_goes_by() -> None:
    moments = {"validation_from": datetime(2024, 1, 1), "test_from": datetime(2024, 2, 1)}
    assert recipe("temporal", **moments).model_dump(exclude_none=True).keys() == {"protocol", "repeats", *moments}
    assert recipe("temporal", test=0.2).model_dump(exclude_none=True) == {
        "protocol": "temporal", "validation": 0.1, "test": 0.2, "repeats": "drop"
    }  # fmt: skip
    with pytest.raises(ConfigError, match="leave out --validation or the moments"):
        recipe("temporal", validation=0.1, **moments)


def test_a_recipe_that_kept_shares_beside_moments_is_read_by_its_moments() -> None:
    kept = {
        "validation": 0.1,
        "test": 0.1,
        "validation_from": "2024-01-01T00:00:00",
        "test_from": "2024-02-01T00:00:00",
    }
    found = Temporal.model_validate(kept)
    assert (found.validation, found.test, found.test_from) == (None, None, datetime(2024, 2, 1))
