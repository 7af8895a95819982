"""Which bundles and which dataset `recsys ui` shows where they are not all named: manifests say what belongs."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final

from recsys_vae.bundles.manifest import MANIFEST, read_manifest
from recsys_vae.errors import BundleError, ConfigError
from recsys_vae.home import folders_with, home

if TYPE_CHECKING:
    from service.settings import NamedSource

HERE: Final = Path("bundles")
"""Where the guides put bundles, in the folder that one works in."""


def dataset_of(bundles: Sequence[Path]) -> str:
    """Name of the dataset to show where none is named: what all bundles have learned from, or the only one there is.

    Raises:
        ConfigError: that is none, or several.
        BundleError: a bundle cannot be read.
    """
    found = sorted({read_manifest(folder).provenance.dataset for folder in bundles} or _datasets())
    if len(found) == 1 and found[0]:
        return found[0]
    if bundles:
        told = f"The bundles have learned from {', '.join(found)}" if any(found) else "The bundle names no dataset"
        raise ConfigError(f"{told}: say whose histories to show, --dataset NAME.")
    there = f"there are {', '.join(found)}" if found else f"there is none under {home()}; `recsys ingest` makes one"
    raise ConfigError(f"Name the dataset to show, --dataset NAME: {there}.")


def newest_bundle(dataset: str) -> Path:
    """The bundle under RECSYS_HOME or ./bundles that was written last of those that have learned from a dataset.

    Raises:
        ConfigError: there is none.
    """
    written = {}
    for folder in chain(folders_with(MANIFEST), folders_with(MANIFEST, HERE)):
        try:
            manifest = read_manifest(folder)
        except BundleError:  # another product, or damaged: whoever means it names it, and is told
            continue
        if manifest.provenance.dataset == dataset:
            written[folder] = manifest.created_at
    if not written:
        raise ConfigError(
            f"No bundle under {home()} or ./{HERE} has learned from dataset {dataset!r}. Train one (`recsys train "
            f"{dataset} --to {home() / 'bundles' / dataset}`), or name one that lies elsewhere: --bundle PATH."
        )
    return max(sorted(written), key=written.__getitem__)


def strangers(bundles: Sequence[Path], dataset: str) -> list[str]:
    """Which bundles have learned from another dataset, in words: what is looked for may not be what is shown."""
    origins = {folder: read_manifest(folder).provenance.dataset for folder in bundles}
    return [
        f"{folder} has learned from {origin!r}; the histories shown are those of {dataset!r}."
        for folder, origin in origins.items()
        if origin not in ("", dataset)
    ]


def variants_of(bundles: Sequence[Path]) -> "list[NamedSource]":
    """Bundles as variants of equal weight, named by their folders; by numbers, too, where folders are named alike."""
    from service.settings import NamedSource

    names: list[str] = []
    for folder in bundles:
        plain = "".join(sign if sign.isascii() and (sign.isalnum() or sign in "._-") else "-" for sign in _name(folder))
        taken = sum(name == plain[:60] or name.rpartition("-")[0] == plain[:60] for name in names)
        names.append(f"{plain[:60]}-{taken + 1}" if taken else plain[:60])
    return [NamedSource(name, 1.0, str(folder)) for name, folder in zip(names, bundles, strict=True)]


def _name(folder: Path) -> str:
    return folder.resolve().name or "bundle"


def _datasets() -> set[str]:
    return {path.parent.name for path in (home() / "datasets").glob("*/interactions.parquet")}
