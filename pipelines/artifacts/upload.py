"""Upload: a bundle of this machine at an address of a bucket, from which services and batch jobs take it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys_vae.bundles.manifest import MANIFEST, Manifest, read_manifest, verify_files
from recsys_vae.errors import ConfigError
from recsys_vae.remote import WEB, reached, scheme_of, send


@dataclass(frozen=True)
class Uploaded:
    """What became of it.

    Attributes:
        manifest: the bundle's.
        address: where it is.
        is_new: False where it was there already.
    """

    manifest: Manifest
    address: str
    is_new: bool


def upload(bundle: Path, address: str, *, overwrite: bool = False, dry_run: bool = False) -> Uploaded:
    """Send a bundle's files, and last its manifest: what was cut off is no bundle, and the next call sends it again.

    Args:
        bundle: directory of it.
        address: such as `s3://shop/bundles/today`; with a slash at the end, its version follows.
        overwrite: replace another bundle that is there. Who reads meanwhile is told that it is altered; services that
            are told of a new address never meet that.
        dry_run: look, and send nothing.

    Raises:
        BundleError: the bundle is damaged.
        ConfigError: another bundle, or something else, is there.
        UnavailableError: the place does not answer, or refuses.
    """
    manifest = read_manifest(bundle)
    verify_files(bundle, manifest)
    if scheme_of(address) in WEB or not scheme_of(address):
        raise ConfigError(f"{address} is no address of a bucket. Expected s3://BUCKET/PATH, gs:// or az:// alike.")
    if address.endswith("/"):
        address += manifest.version
    there = _manifest_at(address)
    if there is not None and there.get("files") == dict(manifest.files):
        return Uploaded(manifest, address, is_new=False)
    if there is not None and not (overwrite and {"model", "files"} <= there.keys()):
        raise ConfigError(
            f"{there.get('version', 'Something else')} is at {address}: name another place, or --overwrite."
        )
    for name in () if dry_run else (*manifest.files, MANIFEST):
        send(bundle / name, f"{address}/{name}")
    return Uploaded(manifest, address, is_new=True)


def _manifest_at(address: str) -> dict[str, Any] | None:
    """What says of itself to be there; None for nothing."""
    with reached(f"{address}/{MANIFEST}") as (files, path):
        if not files.exists(path):
            return None
        try:
            found = json.loads(files.cat_file(path))
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}
