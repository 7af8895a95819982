"""Manifest: what a bundle, or another saved directory, says about itself, and the checksums that hold it to that.

A manifest of the format that is read may still come from a newer version. Whatever decides what is answered (the
manifest's own entries, settings, index, ladder) must be known: a name that is not is a BundleVersionError. Where a
model comes from (`provenance`) only informs: names that are not known there are passed over.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from glob import escape
from hashlib import file_digest, sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from recsys_vae.errors import BundleCorruptError, BundleVersionError, DataError, UnknownNameError
from recsys_vae.outputs import DirectoryProduct
from recsys_vae.settings import from_plain

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
LIBRARIES = ("recsys-vae", "torch", "numpy", "scipy", "polars", "faiss-cpu", "faiss-gpu", "safetensors")


@dataclass(frozen=True)
class Kind:
    """A kind of directory that a manifest describes, in the words of its errors.

    Attributes:
        name: with its article in `article`.
        remedy: what to do about one that is damaged, a sentence.
        renewal: what to do about one in another format, as a sentence begins.
    """

    name: str
    article: str
    remedy: str
    renewal: str


BUNDLE = Kind("bundle", "a", "Fetch or publish the bundle again.", "Publish the model again")


class Listing(Protocol):
    """A manifest, as far as it lists files."""

    @property
    def files(self) -> Mapping[str, str]:
        """SHA-256 of every other file, by name."""


@dataclass(frozen=True)
class Provenance:
    """Where a model comes from.

    Attributes:
        dataset: name of the dataset.
        dataset_fingerprint: of the interactions that the model has learned from.
        trained_on: `all`, or the part of a split, such as `split:strong/train`.
        training_cutoff: time of the latest event that they stand for in ISO 8601; None unless all times are known.
        n_users: users learned from.
        n_interactions: interactions learned from.
        training: settings of the training loop; empty for closed-form models.
        decay: half-life in days, and the moment that ages are counted from; empty where weights stay.
        epochs: passes over the data that the weights have seen; 0 for closed-form models.
        metrics: what was measured, by name; `_se` ends the names of standard errors.
        metrics_on: the part of a split that the metrics were measured on, and by which weights.
        run_id: identity at the tracking server.
        git_commit: of the working tree that trained it, where it is one.
        lineage: what it was updated from, see `lineage.Lineage`; empty where it was trained from nothing.
        repeat_cutoff: time of the latest event that its repeat-purchase head has learned from in ISO 8601; None
            without a head, and of heads from before this was kept.
        dislikes_fingerprint: of what the users of these interactions dislike, where the model has learned from that
            (`data.signals`); empty in bundles from before it was kept.
    """

    dataset: str = ""
    dataset_fingerprint: str = ""
    trained_on: str = ""
    training_cutoff: str | None = None
    n_users: int = 0
    n_interactions: int = 0
    training: Mapping[str, Any] = field(default_factory=dict)
    decay: Mapping[str, Any] = field(default_factory=dict)
    epochs: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    metrics_on: str = ""
    run_id: str | None = None
    git_commit: str | None = None
    lineage: Mapping[str, Any] = field(default_factory=dict)
    repeat_cutoff: str | None = None
    dislikes_fingerprint: str = ""


@dataclass(frozen=True)
class Manifest:
    """The first thing that is read of a bundle.

    Attributes:
        format_version: of the bundle's layout.
        version: identity of this bundle: model name and the start of a hash over its files.
        model: name in the catalogue.
        settings: the model's configuration.
        n_items: width of the catalogue.
        index: kind, recall and smallest selectivity of the index; empty where there is none.
        provenance: where the model comes from.
        created_at: ISO 8601, UTC.
        libraries: versions at the time of writing, those of a plug-in that the model comes from among them.
        files: SHA-256 of every other file of the bundle, by name.
        ladder: which tier answers whom, see `tier_policy.TierPolicy`; empty in bundles from before there was a choice.
        signals: what events say of a user's taste, see `data.signals.SignalRules`; empty where each counts as one.
    """

    format_version: int
    version: str
    model: str
    settings: Mapping[str, Any]
    n_items: int
    index: Mapping[str, Any]
    provenance: Provenance
    created_at: str
    libraries: Mapping[str, str]
    files: Mapping[str, str]
    ladder: Mapping[str, Any] = field(default_factory=dict)
    signals: Mapping[str, Any] = field(default_factory=dict)

    @property
    def lineage(self) -> Mapping[str, Any]:
        """What it was updated from; empty where it was trained from nothing."""
        return self.provenance.lineage


def describe(
    directory: Path,
    *,
    model: str,
    settings: Mapping[str, Any],
    n_items: int,
    index: Mapping[str, Any],
    provenance: Provenance,
    ladder: Mapping[str, Any] | None = None,
    signals: Mapping[str, Any] | None = None,
    plugins: Mapping[str, str] | None = None,
) -> Manifest:
    """The manifest of the files that lie in `directory`.

    Args:
        plugins: versions of the distributions, beside this one, that the model comes from.
    """
    files = file_hashes(directory)
    return Manifest(
        format_version=FORMAT_VERSION,
        version=_version(model, files, ladder, signals),
        model=model,
        settings=settings,
        n_items=n_items,
        index=index,
        provenance=provenance,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        libraries=library_versions() | dict(plugins or {}),
        files=files,
        ladder=ladder or {},
        signals=signals or {},
    )


def renewed(old: Manifest, directory: Path) -> Manifest:
    """The manifest of a new version of a bundle: all that the old one says, of the files that lie in `directory`."""
    files = file_hashes(directory)
    return replace(old, version=_version(old.model, files, old.ladder, old.signals), files=files)


def _version(
    model: str, files: Mapping[str, str], ladder: Mapping[str, Any] | None, signals: Mapping[str, Any] | None
) -> str:
    """Identity of a bundle: of its files, and of whatever in its manifest decides what is answered."""
    told: Any = [files, ladder] if ladder else files
    told = [told, {"signals": signals}] if signals else told
    return f"{model}-{sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]}"


def product_of(kind: Kind, name: str = "", trained_on: str = "") -> DirectoryProduct:
    """What a command may replace: a directory of a kind, in whatever format, damaged or not.

    Args:
        name: of those that one command writes, with its article; any of the kind when empty.
        trained_on: how the `trained_on` of their provenance begins.
    """

    def contents(told: Mapping[str, Any]) -> list[str] | None:
        provenance, files = told.get("provenance"), told.get("files")
        origin = provenance.get("trained_on", "") if isinstance(provenance, dict) else ""
        is_ours = "format_version" in told and told.get("kind", BUNDLE.name) == kind.name
        if not (is_ours and isinstance(files, dict) and str(origin).startswith(trained_on)):
            return None
        return [MANIFEST, *map(escape, files)]

    return DirectoryProduct(name or f"{kind.article} {kind.name}", MANIFEST, contents)


def write_manifest(directory: Path, manifest: "DataclassInstance") -> None:
    """Write `manifest.json`, with a checksum of its own."""
    content = asdict(manifest)
    if not content.get("signals", True):
        del content["signals"]  # versions from before there were any read the bundle, too
    (directory / MANIFEST).write_text(json.dumps(content | {"checksum": _checksum(content)}, indent=2))


def read_manifest(directory: Path) -> Manifest:
    """Read the `manifest.json` of a bundle.

    Raises:
        BundleCorruptError: there is none, it was altered, or something is missing.
        BundleVersionError: it describes a layout that this version does not read, or says what it does not know.
    """
    content = read_content(directory, BUNDLE, FORMAT_VERSION)
    content.pop("kind", None)
    try:
        provenance = from_plain(Provenance, content.get("provenance"), "a provenance", passing_over=True)
        return from_plain(Manifest, content | {"provenance": provenance}, "a bundle's manifest")
    except UnknownNameError as error:
        raise newer(directory, BUNDLE, error) from error
    except DataError as error:
        raise BundleCorruptError(f"{directory / MANIFEST} is incomplete: {error} {BUNDLE.remedy}") from error


def newer(directory: Path, kind: Kind, error: UnknownNameError) -> BundleVersionError:
    """What to raise where a directory in the format that is read names something that this version does not know."""
    return BundleVersionError(
        f"{directory} was written by another version: {error} {kind.renewal} with this version, or use the version "
        "that wrote it."
    )


def read_content(directory: Path, kind: Kind, format_version: int) -> dict[str, Any]:
    """What a `manifest.json` says, as plain values, once it is found in order.

    Args:
        directory: that the manifest describes.
        kind: what the directory is expected to be.
        format_version: the one that is read.

    Raises:
        BundleCorruptError: there is no manifest, it was altered, or it is that of something else.
        BundleVersionError: it describes a layout that this version does not read.
    """
    path = directory / MANIFEST
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BundleCorruptError(f"{directory} is not {kind.article} {kind.name}: it has no {MANIFEST}.") from error
    except ValueError as error:
        raise BundleCorruptError(f"{path} is not JSON: {error}. {kind.remedy}") from error
    if not isinstance(content, dict) or not {"format_version", "checksum"} <= content.keys():
        raise BundleCorruptError(f"{path} is not the manifest of {kind.article} {kind.name}.")
    if (found := content.get("kind", BUNDLE.name)) != kind.name:
        raise BundleCorruptError(f"{directory} is not {kind.article} {kind.name}: its manifest says {found!r}.")
    if content["format_version"] != format_version:
        raise BundleVersionError(
            f"{directory} has {kind.name} format {content['format_version']}, this version reads {format_version}. "
            f"{kind.renewal} with this version, or use the version that wrote it."
        )
    if content.pop("checksum") != _checksum(content):
        raise BundleCorruptError(f"{path} was altered: its checksum does not fit. {kind.remedy}")
    return content


def verify_files(directory: Path, manifest: Listing, kind: Kind | None = None) -> None:
    """Compare every file with its checksum.

    Raises:
        BundleCorruptError: a file is missing, truncated or altered; the message names it.
    """
    for name, expected in manifest.files.items():
        path = directory / name
        if not path.is_file():
            raise BundleCorruptError(f"{directory} lacks {name}. {(kind or BUNDLE).remedy}")
        if file_hash(path) != expected:
            raise BundleCorruptError(f"{path} was altered or cut short: its checksum does not fit its manifest.")


def file_hashes(directory: Path) -> dict[str, str]:
    """SHA-256 of every file of a directory but its manifest, by name."""
    return {path.name: file_hash(path) for path in sorted(directory.iterdir()) if path.name != MANIFEST}


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal, read in pieces."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def library_versions() -> dict[str, str]:
    """Installed versions of the libraries that a bundle depends on."""
    found = {}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def plugins_of(manifest: Manifest) -> dict[str, str]:
    """Versions, by name, of the distributions beside this one that a bundle's model comes from."""
    return {name: version for name, version in manifest.libraries.items() if name not in LIBRARIES}


def missing_plugins(manifest: Manifest) -> list[str]:
    """Those of them that are not installed, or in another version, each with what is here."""
    missing = []
    for name, wanted in plugins_of(manifest).items():
        try:
            here = version(name)
        except PackageNotFoundError:
            missing.append(f"{name} {wanted}, which is not installed")
        else:
            if here != wanted:
                missing.append(f"{name} {wanted}, of which {here} is installed")
    return missing


def _checksum(content: Mapping[str, Any]) -> str:
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
