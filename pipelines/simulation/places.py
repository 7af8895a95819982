"""Places: where the files of a simulated log go, a folder of this machine or of a bucket."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from recsys_vae.atomic import atomic_file
from recsys_vae.errors import ConfigError, DataError
from recsys_vae.outputs import DirectoryProduct, check_output
from recsys_vae.remote import WEB, check_address, is_remote, reached, remove, scheme_of, send
from recsys_vae.simulation.world import SETTINGS

FORMAT_VERSION: Final = 1
MANIFEST: Final = "manifest.json"
PRODUCT: Final = DirectoryProduct(
    "a log of `recsys simulate`",
    SETTINGS,
    lambda told: (
        (SETTINGS, MANIFEST, "events/*", "users/*", "items.parquet", "truth/**")
        if told.get("format_version") == FORMAT_VERSION and "settings" in told
        else None
    ),
)
"""What may be replaced."""
File = dict[str, Any]
"""Bytes and SHA-256 of a file."""


@dataclass(frozen=True)
class Place:
    """Where files go, by names such as `events/part-00000.parquet`.

    Attributes:
        root: a path of this machine or an address of a bucket.
    """

    root: str

    @classmethod
    def of(cls, to: str) -> "Place":
        """The place that `TO` means.

        Raises:
            ConfigError: nothing can be written there, or something else stands there.
        """
        if scheme_of(to) in WEB or (scheme_of(to) and not is_remote(to)):
            raise ConfigError(
                f"{to} cannot be written to. Name a folder here, or an address of a bucket (s3://, gs://, az://)."
            )
        if is_remote(to):
            check_address(to)
            return cls(to.rstrip("/"))
        return cls(str(check_output(Path(to), PRODUCT)))

    @property
    def is_remote(self) -> bool:
        """Whether it is in a bucket."""
        return is_remote(self.root)

    def write(self, name: str, writer: Callable[[Path], object]) -> File:
        """Write a file, which appears whole, and tell what it is."""
        if not self.is_remote:
            with atomic_file(Path(self.root) / name) as temporary:
                writer(temporary)
                return _described(temporary)
        with TemporaryDirectory(prefix="recsys-simulate-") as folder:
            path = Path(folder) / Path(name).name
            writer(path)
            send(path, f"{self.root}/{name}")
            return _described(path)

    def write_json(self, name: str, content: Any) -> File:
        """Write plain values."""
        return self.write(name, lambda path: path.write_text(json.dumps(content, indent=1) + "\n"))

    def read_json(self, name: str) -> Any:
        """What `write_json` wrote; None where there is nothing that can be read."""
        try:
            if not self.is_remote:
                return json.loads((Path(self.root) / name).read_bytes())
            with reached(f"{self.root}/{name}") as (files, path):
                return json.loads(files.cat_file(path))
        except (OSError, ValueError, DataError):
            return None

    def remove(self, name: str) -> None:
        """Remove a file, where it is there."""
        if self.is_remote:
            remove(self.root, [name])
        else:
            (Path(self.root) / name).unlink(missing_ok=True)

    def holds(self, name: str, file: File) -> bool:
        """Whether a file is there as it was told; in a bucket its length alone is looked at."""
        if self.is_remote:
            try:
                with reached(f"{self.root}/{name}") as (files, path):
                    return bool(files.size(path) == file["bytes"])
            except DataError:
                return False
        here = Path(self.root) / name
        return here.is_file() and here.stat().st_size == file["bytes"] and _described(here) == file

    def clear(self) -> None:
        """Remove what stands there, which `of` has recognised; nothing in a bucket is removed."""
        if self.is_remote:
            raise ConfigError(
                f"{self.root} holds another log, and nothing is removed from buckets. Name another place."
            )
        shutil.rmtree(check_output(Path(self.root), PRODUCT))


def _described(path: Path) -> File:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
