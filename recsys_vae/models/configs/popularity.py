"""Settings of popularity: what they mean is told in `models/popularity.py`."""

from dataclasses import dataclass
from typing import ClassVar

from recsys_vae.models.entry import CLOSED_FORM, Traits


@dataclass(frozen=True)
class PopularityConfig:
    """Nothing to choose."""

    TRAITS: ClassVar[Traits] = CLOSED_FORM
