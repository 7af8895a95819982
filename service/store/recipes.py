"""Recipes: what a list that was shown can be made again from, beside its bundle, kept in its row."""

import json
from dataclasses import dataclass
from datetime import date
from typing import Any

from pydantic import TypeAdapter


@dataclass(frozen=True)
class Recipe:
    """What a list was made from.

    Attributes:
        body: the request as it came, by field, but for `user_id` and what makes no list (`explain`, `fields`).
        history: sequence of the last stored event that was read; None where none was to be, or the store was silent.
        n_events: that were read.
        day: since 1970, UTC, that purchases were seen from; None where they did not count.
        items: sequence of the change of items after which the list was made; of an interleaved list one for each of
            the two that it was drafted from.
        generation: of the deployment that answered.
        explore: share of the places for items that the model does not know.
        seed: what these were drawn by.
        draft: what coins of an interleaved list were tossed by; empty for other lists.
    """

    body: dict[str, Any]
    history: int | None
    n_events: int
    day: int | None
    items: tuple[int, ...]
    generation: int
    explore: float = 0.0
    seed: str = ""
    draft: str = ""

    def write(self) -> str:
        """As JSON, the same for equal recipes; what is at its default is left out."""
        told = {name: value for name, value in vars(self).items() if value not in (None, "", 0.0) or name == "items"}
        return json.dumps(told, sort_keys=True, separators=(",", ":"), default=_written)


_READ: TypeAdapter[Recipe] = TypeAdapter(Recipe)


def read_recipe(text: str) -> Recipe:
    """From what `write` made."""
    return _READ.validate_python({"history": None, "n_events": 0, "day": None} | json.loads(text))


def _written(value: object) -> str:
    if isinstance(value, date):  # datetimes are dates
        return value.isoformat()
    raise TypeError(f"a request holds {type(value).__name__}, which JSON does not")
