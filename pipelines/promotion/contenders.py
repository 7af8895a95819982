"""Contenders: the models that are compared, and the bundle that stands in for one that has seen the answers."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pipelines.evaluation.eligibility import ALL, data_end
from recsys_vae.bundles.bundle import Bundle
from recsys_vae.bundles.manifest import Manifest
from recsys_vae.errors import BundleError


@dataclass(frozen=True, eq=False)
class Contender:
    """A model as it is or would be served.

    Attributes:
        bundle: what answers.
        twin: the bundle of `recsys train` that it was published from; None where there is none or it is not at hand.
        n_bytes: of the bundle's files.
    """

    bundle: Bundle
    twin: Bundle | None
    n_bytes: int

    @classmethod
    def open(cls, bundle: Path, twin: Path | None = None) -> "Contender":
        """Load and verify.

        Raises:
            BundleError: one of them is damaged, or the other one is not what the bundle was published from.
        """
        loaded = Bundle.load(bundle)
        other = None if twin is None else Bundle.load(twin)
        wanted = twin_of(loaded.manifest)
        if other is not None and other.version != wanted:
            was = f"published from {wanted}" if wanted else "not published from another bundle"
            raise BundleError(f"{twin} holds {other.version}, and {loaded.version} was {was}. Name that one, or none.")
        files = [path for path in bundle.iterdir() if path.is_file()]
        return cls(loaded, other, sum(path.stat().st_size for path in files))

    @property
    def is_published(self) -> bool:
        """Whether it has learned from all data there were."""
        return self.bundle.manifest.provenance.trained_on == ALL

    @property
    def forms(self) -> tuple[Bundle, ...]:
        """Who may be asked in its place: itself first."""
        return (self.bundle,) if self.twin is None else (self.bundle, self.twin)

    @property
    def data_end(self) -> datetime | None:
        """Time of the latest event that it has learned from."""
        return data_end(self.bundle.manifest.provenance)


def twin_of(manifest: Manifest) -> str | None:
    """Version of the bundle that a published one was made from, as its manifest says; None for others."""
    origin = manifest.provenance
    if origin.trained_on != ALL or not origin.metrics_on.startswith("split:"):
        return None
    return origin.metrics_on.rpartition("by ")[2] or None


def pairings(champion: Contender | None, challenger: Contender) -> list[tuple[Bundle | None, Bundle]]:
    """Who may be asked for the two, the least substitution first.

    The champion's twin, which knows less than what is served, never meets a published challenger itself: that would
    favour the challenger.
    """
    if champion is None:
        return [(None, form) for form in challenger.forms]
    pairs = [(mine, theirs) for mine in champion.forms for theirs in challenger.forms]
    return [pair for pair in pairs if not (_is_twin(pair[0], champion) and _is_whole(pair[1], challenger))]


def _is_twin(asked: Bundle, contender: Contender) -> bool:
    return asked is contender.twin


def _is_whole(asked: Bundle, contender: Contender) -> bool:
    return asked is contender.bundle and contender.is_published
