"""Lineage: which bundle another one was updated from, what came in, and how far the last full training lies back."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from recsys_vae.bundles.manifest import Manifest
from recsys_vae.data.change import ChangeCounts
from recsys_vae.errors import DataError
from recsys_vae.models.updatable import REFIT
from recsys_vae.settings import from_plain


@dataclass(frozen=True)
class Lineage:
    """Where an updated bundle comes from; a manifest keeps it in its provenance, and it is empty after full training.

    Attributes:
        parent: version of the bundle that was updated.
        parent_fingerprint: of the interactions that it had learned from.
        how: exact, refit or warm.
        came_in: what came in and went, see `data.change.ChangeCounts`, and `erased_users`, how many were asked for.
        updates_since_full: how many updates lie behind, this one included; 0 where it was a fit of everything.
        last_full: version of the bundle that was last trained from nothing; empty where that is this one.
        chain: versions from there to the parent; empty likewise.
        figures: what the update told of itself, such as its rank.
    """

    parent: str
    parent_fingerprint: str
    how: str
    came_in: Mapping[str, int]
    updates_since_full: int
    last_full: str
    chain: tuple[str, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, manifest: Manifest) -> "Lineage | None":
        """The lineage that a manifest keeps; None of a bundle that was trained from nothing.

        Raises:
            DataError: what stands there is none.
        """
        told = manifest.provenance.lineage
        if not told:
            return None
        found = from_plain(cls, told, "a lineage", passing_over=True)
        if not isinstance(found.updates_since_full, int) or not isinstance(found.chain, list | tuple):
            raise DataError(f"The lineage of {manifest.version} is damaged: {dict(told)}.")
        return found

    @classmethod
    def after(
        cls, parent: Manifest, counts: ChangeCounts, *, erased: int, how: str, figures: Mapping[str, Any]
    ) -> "Lineage":
        """The lineage of what is made of a bundle.

        Args:
            counts: of the change.
            erased: users whose erasure was asked for.
        """
        before, is_full = cls.of(parent), how == REFIT
        last_full = before.last_full if before else ""
        chain = (*(before.chain if before else ()), parent.version)
        return cls(
            parent=parent.version,
            parent_fingerprint=parent.provenance.dataset_fingerprint,
            how=how,
            came_in=asdict(counts) | {"erased_users": erased},
            updates_since_full=0 if is_full else len(chain),
            last_full="" if is_full else last_full or parent.version,
            chain=() if is_full else chain,
            figures=dict(figures),
        )

    def as_settings(self) -> dict[str, Any]:
        """Plain values, as a manifest keeps them."""
        return asdict(self)
