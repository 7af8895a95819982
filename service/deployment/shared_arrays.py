"""What the workers of a service hold of a bundle together: weights, item vectors and their codes, in memory once."""

import ctypes
import json
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Final

from recsys_vae.bundles.manifest import Manifest
from recsys_vae.mapped import Keep, MappedArrays
from service.deployment.shared_folder import FOLDER

MOST: Final = 4
"""Bundles that stay there, those that were opened last. A worker keeps what it has opened, whatever stays."""


def among_workers() -> Callable[[Manifest], Keep] | None:
    """Where the bundle with a manifest is kept, once it is verified; None where there are no other workers."""
    folder = os.environ.get(FOLDER)
    return None if folder is None else lambda manifest: MappedArrays(Path(folder)).below(_identity(manifest), MOST)


def give_back_memory() -> None:
    """Let the system have what the C library holds back of free memory: that of arrays by which a bundle was read."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # glibc's alone
        trim(0)


def _identity(manifest: Manifest) -> str:
    """Of all that decides what the arrays are."""
    told = [manifest.model, manifest.settings, manifest.files]
    return sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
