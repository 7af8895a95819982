"""Updatable: what a model promises that learns a change of its interactions without learning all of them again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from recsys_vae.data.change import Change
from recsys_vae.protocols import Recommender

EXACT, REFIT, WARM = "exact", "refit", "warm"
"""How a model was updated: by the difference alone, equal to a fit; by a fit; by further training of what it was."""


@dataclass(frozen=True)
class Updated:
    """A model that has learned a change.

    Attributes:
        model: over the items after the change; the one it was made of is as it was.
        how: EXACT, REFIT or WARM.
        figures: what there is to tell, by name, such as the rank of the update.
    """

    model: Recommender
    how: str
    figures: Mapping[str, float | str] = field(default_factory=dict)


@runtime_checkable
class Updatable(Recommender, Protocol):
    """A recommender that can learn a change."""

    def plan(self, change: Change) -> Mapping[str, float | str]:
        """How `updated` would do it and what it would cost, without doing it."""
        ...

    def updated(self, change: Change) -> Updated:
        """A model that has learned `change.after`.

        Args:
            change: whose `before` is what this model has learned from, over its items.
        """
        ...
