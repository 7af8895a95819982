"""Variants that are in service, and which of them answers whom. A value: a swap puts another in its place.

Users are assigned by weighted rendezvous hashing: each variant draws a number from its name and the user's id, and the
smallest -ln(u) / weight wins (Thaler and Ravishankar 1998; weights: Schindelhauer and Schomaker 2005). So a user stays
with a variant on every replica and over restarts, and when a weight changes only users of that variant's share move.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from typing import NamedTuple

from service.errors import CursorExpiredError, FieldError
from service.ranking.served_model import Catalogue
from service.schemas.common import VARIANT_HEADER
from service.store.deployments import Part, Plan


@dataclass(frozen=True, eq=False)
class Variant:
    """One of the bundles in service.

    Attributes:
        name: of the variant.
        weight: its share of the users, relative to the other weights.
        source: where its bundle was taken from.
        catalogue: what answers.
    """

    name: str
    weight: float
    source: str
    catalogue: Catalogue

    @property
    def version(self) -> str:
        """Of its bundle."""
        return self.catalogue.version


class Assignment(NamedTuple):
    """The variant that answers a request, and whether it was assigned, as opposed to chosen by the caller.

    With an `opponent`, both of them answer: their lists are interleaved.
    """

    variant: Variant
    is_dealt: bool
    opponent: Variant | None = None

    @property
    def name(self) -> str:
        """Of the variant; `a+b` of two that are interleaved, which is no name that a variant may have."""
        return self.variant.name if self.opponent is None else f"{self.variant.name}+{self.opponent.name}"

    @property
    def version(self) -> str:
        """Of the bundle, or of both."""
        return self.variant.version if self.opponent is None else f"{self.variant.version}+{self.opponent.version}"


@dataclass(frozen=True, eq=False)
class VariantSet:
    """What is in service.

    Attributes:
        generation: of the deployment; 0 where the store has not been told.
        variants: at least one, the first one first.
        aliases: what the aliases in the settings named when this was put in service.
        interleaved: names of two variants whose users get lists that both draft; empty for none.
    """

    generation: int
    variants: tuple[Variant, ...]
    aliases: tuple[tuple[str, str], ...] = ()
    interleaved: tuple[str, ...] = ()

    @cached_property
    def plan(self) -> Plan:
        """The same as it is written down."""
        parts = (Part(one.name, one.weight, one.source, one.version) for one in self.variants)
        return Plan(tuple(parts), self.aliases, self.interleaved)

    @cached_property
    def catalogues(self) -> dict[str, Catalogue]:
        """Version -> catalogue."""
        return {variant.version: variant.catalogue for variant in self.variants}

    def assign(self, key: str, chosen: str | None = None, version: str | None = None) -> Assignment:
        """Who answers a request.

        Args:
            key: of whom it is about; equal keys have the same variant assigned.
            chosen: name of the variant that the caller wants; None for the one that is assigned.
            version: of the bundle whose list goes on; None for a list that begins.

        Raises:
            FieldError: no variant has that name.
            CursorExpiredError: no variant has that version any more.
        """
        assigned = self._assigned(key)
        wanted = assigned if chosen is None else Assignment(self.named(chosen), is_dealt=False)
        if version is not None and wanted.version != version:
            wanted = self._of_version(version)
        is_same = (wanted.variant, wanted.opponent) == (assigned.variant, assigned.opponent)
        return wanted._replace(is_dealt=chosen is None and is_same)

    @property
    def assignments(self) -> list[tuple[Assignment, float]]:
        """Who may be assigned, each with its share of the users."""
        found: dict[str, tuple[Assignment, float]] = {}
        for variant in self.variants:
            one = self._together() if variant.name in self.interleaved else Assignment(variant, is_dealt=True)
            share = self.share(variant) + found.get(one.name, (one, 0.0))[1]
            found[one.name] = (one, share)
        return [(one, share) for one, share in found.values() if share > 0]

    def _assigned(self, key: str) -> Assignment:
        dealt = self.deal(key)
        return self._together() if dealt.name in self.interleaved else Assignment(dealt, is_dealt=True)

    def _together(self) -> Assignment:
        first, second = (self.named(name) for name in self.interleaved)
        return Assignment(first, is_dealt=True, opponent=second)

    def deal(self, key: str) -> Variant:
        """The variant of whoever has this key."""
        if len(self.variants) == 1:
            return self.variants[0]
        drawn = (variant for variant in self.variants if variant.weight > 0)
        return min(drawn, key=lambda variant: -math.log(_draw(variant.name, key)) / variant.weight)

    def named(self, name: str) -> Variant:
        """The variant of a name.

        Raises:
            FieldError: there is none.
        """
        for variant in self.variants:
            if variant.name == name:
                return variant
        known = ", ".join(variant.name for variant in self.variants)
        raise FieldError(f"header.{VARIANT_HEADER.lower()}", f"no variant {name!r} is in service; there are: {known}")

    def share(self, variant: Variant) -> float:
        """The part of the users that a variant is assigned to, from 0 to 1."""
        return variant.weight / sum(one.weight for one in self.variants) if len(self.variants) > 1 else 1.0

    def weighed(self, weights: Mapping[str, float]) -> "VariantSet":
        """The same variants with other weights.

        Raises:
            FieldError: a variant has none or one that is no share, or nobody would be answered.
        """
        names = [one.name for one in self.variants]
        if set(weights) != set(names):
            raise FieldError("weights", f"each variant in service has one, and nothing else: {', '.join(names)}")
        for name, weight in weights.items():
            if not (math.isfinite(weight) and weight >= 0):
                raise FieldError(f"weights.{name}", "a weight is a number from 0 on")
        if not sum(weights.values()) > 0 or (self.interleaved and not sum(weights[one] for one in self.interleaved)):
            raise FieldError("weights", "all of them are 0; nobody would be answered")
        changed = (replace(one, weight=float(weights[one.name])) for one in self.variants)
        return replace(self, variants=tuple(changed))

    def _of_version(self, version: str) -> Assignment:
        both = [self._together()] if self.interleaved else []
        for found in (*both, *(Assignment(variant, is_dealt=False) for variant in self.variants)):
            if found.version == version:
                return found
        raise CursorExpiredError("another model is in service by now")


def _draw(name: str, key: str) -> float:
    """A number between 0 and 1, both excluded, that depends on nothing else."""
    digest = blake2b(f"{name}\x1f{key}".encode(), digest_size=8, person=b"recsys-variant").digest()
    return ((int.from_bytes(digest) >> 11) + 0.5) / 2**53
