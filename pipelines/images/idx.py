"""Files in the IDX format of MNIST: a magic number, the sizes of the dimensions, then bytes, all big-endian."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from recsys_vae.errors import DataError

UNSIGNED_BYTES = 8
"""Third byte of the magic number; the fourth is the number of dimensions."""


def read_idx(path: Path) -> np.ndarray:
    """An array of bytes from an IDX file, which may be packed by gzip.

    Raises:
        DataError: it is no such file, or cut short.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        zeros, kind, dimensions = struct.unpack_from(">HBB", content)
        sizes = struct.unpack_from(f">{dimensions}I", content, 4)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise DataError(f"{path} is no IDX file: {error}. Remove it to fetch it again.") from error
    start = 4 + 4 * dimensions
    if zeros or kind != UNSIGNED_BYTES or len(content) - start != math.prod(sizes):
        raise DataError(f"{path} is no whole IDX file of bytes. Remove it to fetch it again.")
    return np.frombuffer(content, np.uint8, offset=start).reshape(sizes).copy()
