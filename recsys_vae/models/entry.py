"""Entry: what the catalogue holds of a model."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One model of the catalogue.

    Attributes:
        config: its frozen configuration; every field has a default. What is worth tuning is its `SEARCH_SPACE`, and
            where the loop's defaults do not suit it, its `TRAINING` says otherwise.
        model: its class, made from (n_items, config). What it takes to learn is its `cost` (see cost.py).
        summary: one line for `recsys models`.
    """

    config: type
    model: type
    summary: str
