"""Recipes: a protocol with its parameters, checked, as `split.json` keeps them; each cuts a dataset into a Split."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.evidence import taste_of, with_half_life
from pipelines.dataset.matrices import encode_events, encode_pairs, encode_places, places_by
from recsys_vae.data.columns import ITEM, USER
from recsys_vae.data.purchases import DAY
from recsys_vae.errors import ConfigError, UnknownNameError, fault_text
from recsys_vae.evaluation import ordered_splits, random_splits
from recsys_vae.evaluation.ordered_splits import Events
from recsys_vae.evaluation.splits import PROTOCOLS, Split, with_order
from recsys_vae.protocols import Int64Array

SHARES = {"validation": 0.1, "test": 0.1}
"""Of the events that a cut in time takes where no moments are given."""


class _Recipe(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Strong(_Recipe):
    """Held-out users, most of their items folded in (Liang et al. 2018)."""

    protocol: Literal["strong"] = "strong"
    seed: int = Field(0, ge=0)
    heldout: float = Field(0.1, gt=0)
    fold_in: float = Field(0.8, gt=0, lt=1)
    min_items: int = Field(5, ge=1)

    def cut(self, dataset: DatasetDir, half_life: float = math.inf) -> Split:
        """Cut the interactions of a dataset."""
        known = taste_of(dataset)
        split = random_splits.strong(
            known.liked,
            heldout=self.heldout,
            fold_in=self.fold_in,
            seed=self.seed,
            min_items=self.min_items,
            dislikes=known.disliked,
        )
        return _ordered(with_half_life(split, dataset, half_life), dataset)


class Temporal(_Recipe):
    """A global cut in time: by shares of the interactions, or at given moments.

    Asked for is what is new to a user in a window; where repeats are kept, all of the user's first day there.
    """

    protocol: Literal["temporal"] = "temporal"
    validation: float | None = Field(None, gt=0, lt=1)
    test: float | None = Field(None, gt=0, lt=1)
    validation_from: datetime | None = None
    test_from: datetime | None = None
    repeats: Literal["drop", "keep"] = "drop"

    @model_validator(mode="before")
    @classmethod
    def _shares_or_moments(cls, given: dict[str, object]) -> dict[str, object]:
        """Shares where no moments are given, moments alone where they are: early splits kept both."""
        if given.get("validation_from") is None and given.get("test_from") is None:
            return {**SHARES, **{name: value for name, value in given.items() if value is not None}}
        return {name: value for name, value in given.items() if name not in SHARES}

    @model_validator(mode="after")
    def _both_moments_or_none(self) -> "Temporal":
        if (self.validation_from is None) != (self.test_from is None):
            raise ValueError("give both moments, --validation-from and --test-from, or none of them")
        return self

    def _windows(self, order: Int64Array) -> tuple[int, int]:
        """First moment of the validation window and of the test window, in microseconds since 1970.

        Args:
            order: times of all events, likewise.
        """
        if self.validation_from is not None and self.test_from is not None:
            return _microseconds(self.validation_from), _microseconds(self.test_from)
        assert self.validation is not None
        assert self.test is not None
        return ordered_splits.cut_points(order, validation=self.validation, test=self.test)

    def cut(self, dataset: DatasetDir, half_life: float = math.inf) -> Split:
        """Cut the events of a dataset."""
        events = events_of(dataset, global_order=True, half_life=half_life)
        validation_from, test_from = self._windows(events.order)
        visit = DAY if self.repeats == "keep" else None
        return ordered_splits.temporal(events, validation_from=validation_from, test_from=test_from, visit=visit)


class LastOut(_Recipe):
    """Each user's last item for test, the one before it for validation."""

    protocol: Literal["last-out"] = "last-out"

    def cut(self, dataset: DatasetDir, half_life: float = math.inf) -> Split:
        """Cut the events of a dataset."""
        return ordered_splits.last_out(events_of(dataset, global_order=False, half_life=half_life))


class Given(_Recipe):
    """The published test part; validation drawn from the rest."""

    protocol: Literal["given"] = "given"
    seed: int = Field(0, ge=0)
    validation: float = Field(0.1, gt=0, lt=1)
    validation_users: int | None = Field(None, ge=1)

    def cut(self, dataset: DatasetDir, half_life: float = math.inf) -> Split:
        """Cut the interactions of a dataset.

        Raises:
            DataError: it came without a published test part.
        """
        known = taste_of(dataset)
        encoded = known.liked
        pairs, unknown = encode_pairs(
            dataset.table(dataset.given_test_path).select(USER, ITEM), encoded.users, encoded.items
        )
        split = random_splits.given(
            encoded,
            pairs,
            validation=self.validation,
            validation_users=self.validation_users,
            seed=self.seed,
            dislikes=known.disliked,
        )
        split = with_half_life(split, dataset, half_life)
        return _ordered(replace(split, counts={"test_pairs_of_unknown_ids": unknown, **split.counts}), dataset)


def _ordered(split: Split, dataset: DatasetDir) -> Split:
    """The split with the order of its histories, where the dataset has one."""
    by = places_by(dataset.events())
    return split if by is None else with_order(split, encode_places(dataset.events(), by))


def events_of(dataset: DatasetDir, *, global_order: bool, half_life: float = math.inf) -> Events:
    """All events of a dataset, for and against, in order."""
    return encode_events(dataset.signed_events(), global_order=global_order, keep=dataset.keep(), half_life=half_life)


Recipe = Annotated[Strong | Temporal | LastOut | Given, Field(discriminator="protocol")]
_ADAPTER: TypeAdapter[Recipe] = TypeAdapter(Recipe)


def recipe(protocol: str, **options: object) -> Recipe:
    """The recipe of a protocol; options that are None keep their default.

    Raises:
        UnknownNameError: there is no such protocol.
        ConfigError: an option is outside its range, or belongs to another protocol.
    """
    if protocol not in PROTOCOLS:
        raise UnknownNameError("split protocol", protocol, PROTOCOLS)
    chosen = {name: value for name, value in options.items() if value is not None}
    if both := [option for option in SHARES if option in chosen and f"{option}_from" in chosen]:
        raise ConfigError(
            f"A cut in time goes by shares or by moments: leave out --{both[0]} or the moments, --{both[0]}-from."
        )
    try:
        return _ADAPTER.validate_python({"protocol": protocol, **chosen})
    except ValidationError as error:
        raise ConfigError(
            f"The split cannot be made: {'; '.join(_explain(protocol, e) for e in error.errors())}"
        ) from None


def _microseconds(moment: datetime) -> int:
    """Since 1970; a moment without a zone is UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _explain(protocol: str, error: object) -> str:
    assert isinstance(error, dict)
    if error["type"] == "value_error":
        return f"{fault_text(error)}."
    option = "--" + str(error["loc"][-1]).replace("_", "-")
    if error["type"] == "extra_forbidden":
        return f"{option} is not an option of protocol {protocol!r}."
    return f"{option}: {fault_text(error)}, got {error['input']!r}."
