"""Versions: bundles that are or were in service, or may be put there, as far as their manifests can be read now."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from recsys_vae.bundles.manifest import MANIFEST, Manifest, read_manifest
from recsys_vae.errors import BundleError
from service.deployment.variants import VariantSet
from service.store.deployments import Deployment

MOST_FOLDERS: Final = 200
"""Of the bundle root that are looked at."""


@dataclass(frozen=True)
class Version:
    """A bundle.

    Attributes:
        manifest: what it says of itself.
        source: where it lies; empty where that is not told.
        variants: in service that answer with it.
    """

    manifest: Manifest
    source: str = ""
    variants: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its identity."""
        return self.manifest.version


def in_service(variant_set: VariantSet) -> dict[str, Version]:
    """Those that answer, by name."""
    found: dict[str, Version] = {}
    for one in variant_set.variants:
        others = found[one.version].variants if one.version in found else ()
        manifest = one.catalogue.chain.bundle.manifest
        found[one.version] = Version(manifest, one.source, (*others, one.name))
    return found


def known(variant_set: VariantSet, recorded: Iterable[Deployment], root: Path | None) -> dict[str, Version]:
    """Those that answer, those that did and lie where they did, and those of the bundle root, by name; reads files.

    Args:
        variant_set: what is in service.
        recorded: what was, latest first.
        root: folder of bundles that may be put in service; None for none.
    """
    found = in_service(variant_set)
    parts = (part for deployment in recorded for part in deployment.plan.parts)
    for source in dict.fromkeys([*(part.source for part in parts), *folders(root)]):
        manifest = manifest_at(source)
        if manifest is not None and manifest.version not in found:
            found[manifest.version] = Version(manifest, source)
    return found


def manifest_at(source: str) -> Manifest | None:
    """Of the bundle in a directory of this machine; None where there is none that can be read."""
    try:
        return read_manifest(Path(source))
    except (BundleError, OSError, ValueError):
        return None


def folders(root: Path | None) -> Iterator[str]:
    """Bundles right below the bundle root, the newest names first."""
    if root is None or not root.is_dir():
        return iter(())
    names = sorted((path.parent for path in root.resolve().glob(f"*/{MANIFEST}")), reverse=True)
    return map(str, islice(names, MOST_FOLDERS))
