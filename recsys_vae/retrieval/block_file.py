"""BlockFile: item vectors in one file, in blocks by descending norm, with 8-bit codes and bounds; written in a stream.

The file is in the safetensors format, so its parts can be looked at with that library. By place:

    vectors   (n, d)     float32, read when wanted
    high      (n, b/2)   uint8: codes, dimensions but the last as integers in -127..127 plus 128, b is d - 1 in whole
                         sixteens; of these the upper four bits, that of dimension b/2 + i above that of i
    low       (n, b/2)   uint8: the lower four bits, likewise
    leads     (n, 2)     float32: scale s, the last dimension
    rest      (n, 3)     float32: |s a|, what the codes lose, what float32 rounds at norm 1
    rows      (n,)       int32: the item of each place; ascending within a block
    blocks    (m, 7)     float32: largest norm without the last dimension, largest and smallest last, largest rounding;
                         what upper halves lose, by scale and of items without one, and keep at the most

`native/ondisk.cpp` says what bounds follow. All but the vectors are mapped: 1.5 GB of 10 million of 128 dimensions.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from recsys_vae.errors import RetrievalError
from recsys_vae.native.quantised import LARGEST_NORM
from recsys_vae.protocols import Float32Array

KIND, VERSION = "recsys on-disk index", "2"
BLOCK: Final = 4096
"""Places a block: of 128 dimensions, 2 MiB of vectors and 0.5 MiB of codes."""
GROUP, LEADS, REST, BLOCK_FACTS = 16, 2, 3, 7
ALIGNMENT = 4096
LONGEST_HEADER = 2**16
KINDS: Final[dict[str, type[np.generic]]] = {"F32": np.float32, "U8": np.uint8, "I32": np.int32}


def layout(n: int, d: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Type and shape of each part, in the order of the file."""
    half = -(-max(d - 1, 1) // GROUP) * GROUP // 2
    return {
        "vectors": ("F32", (n, d)),
        "high": ("U8", (n, half)),
        "low": ("U8", (n, half)),
        "leads": ("F32", (n, LEADS)),
        "rest": ("F32", (n, REST)),
        "rows": ("I32", (n,)),
        "blocks": ("F32", (-(-n // BLOCK), BLOCK_FACTS)),
    }


def header(n: int, d: int) -> tuple[bytes, dict[str, int]]:
    """The beginning of a file, and at which byte each part starts."""
    told: dict[str, Any] = {"__metadata__": {"kind": KIND, "version": VERSION, "block": str(BLOCK)}}
    starts, end = {}, 0
    for name, (kind, shape) in layout(n, d).items():
        starts[name], size = end, int(np.prod(shape)) * np.dtype(KINDS[kind]).itemsize
        end += size
        told[name] = {"dtype": kind, "shape": shape, "data_offsets": [starts[name], end]}
    text = json.dumps(told, separators=(",", ":")).encode()
    text = text.ljust(-(-(len(text) + 8) // ALIGNMENT) * ALIGNMENT - 8)
    base = len(text) + 8
    return len(text).to_bytes(8, "little") + text, {name: base + at for name, at in starts.items()} | {"": base + end}


class BlockFile:
    """An index file, open to be searched.

    Attributes:
        shape: number of items and dimensions.
        high, low, leads, rest, rows, blocks: as above, mapped.
        block_size: places a block.
        descriptor, start: of the file, and where its vectors begin.

    Args:
        path: of the file.

    Raises:
        RetrievalError: it is no such file, was cut short, or its parts contradict each other.
    """

    block_size = BLOCK

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDONLY)
        finalize(self, os.close, self.descriptor)
        self.shape, starts = _read_header(path, self.descriptor)
        parts = layout(*self.shape)

        def mapped(name: str) -> NDArray[Any]:
            kind, shape = parts[name]
            return np.asarray(np.memmap(path, KINDS[kind], "r", starts[name], shape))

        self.start = starts["vectors"]
        self.high, self.low = mapped("high"), mapped("low")
        self.leads, self.rest = mapped("leads"), mapped("rest")
        self.rows, self.blocks = mapped("rows"), mapped("blocks")
        _check_parts(path, self)

    def vectors(self, first: int, end: int) -> Float32Array:
        """Vectors of the places `first` to `end` - 1, read from the file.

        Raises:
            RetrievalError: the file can no longer be read.
        """
        found = np.empty((end - first, self.shape[1]), dtype=np.float32)
        room, at = found.data.cast("B") if found.size else memoryview(b""), self.start + first * found.strides[0]
        while room:
            got = os.preadv(self.descriptor, [room], at)
            if not got:
                raise RetrievalError("Vectors of an index on disk can no longer be read: its file was cut short.")
            room, at = room[got:], at + got
        return found


def _read_header(path: Path, descriptor: int) -> tuple[tuple[int, int], Mapping[str, int]]:
    """Shape of the vectors and where parts start; the header must be, byte for byte, what is written for that shape."""
    length = int.from_bytes(os.pread(descriptor, 8, 0), "little")
    try:
        told = json.loads(os.pread(descriptor, min(length, LONGEST_HEADER), 8))
        n, d = (int(number) for number in told["vectors"]["shape"])
        kind = told["__metadata__"]["kind"], told["__metadata__"]["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise RetrievalError(f"{path} is not an index on disk: its header cannot be read.") from error
    if kind != (KIND, VERSION):
        raise RetrievalError(
            f"{path} is a {kind[0]} of version {kind[1]}, expected a {KIND} of version {VERSION}. Write it "
            "again from the vectors: recsys index build, or recsys train --resume."
        )
    if n < 1 or d < 1:
        raise RetrievalError(f"{path} holds {n} vectors of width {d}.")
    expected, starts = header(n, d)
    if os.pread(descriptor, len(expected), 0) != expected:
        raise RetrievalError(f"{path} is not an index on disk as this version writes it: its header differs.")
    if (size := os.fstat(descriptor).st_size) != starts[""]:
        raise RetrievalError(f"{path} was cut short or added to: it has {size} bytes, expected {starts['']}.")
    return (n, d), starts


def _check_parts(path: Path, file: BlockFile) -> None:
    """Compiled code follows rows, and answers are right where bounds are: both must be possible."""
    n, rows, leads, rest, blocks = file.shape[0], file.rows, file.leads, file.rest, file.blocks
    seen = np.zeros(n, dtype=np.bool_)
    if rows.min() < 0 or rows.max() >= n:
        raise RetrievalError(f"{path} names items from {rows.min()} to {rows.max()}, expected 0 to {n - 1}.")
    seen[rows] = True
    starts = np.arange(0, n, BLOCK)
    ascends = np.diff(rows) > 0
    ascends[starts[1:] - 1] = True
    if not (seen.all() and ascends.all()):
        raise RetrievalError(f"{path} does not hold every item once, in the order of its blocks.")
    is_bounded = all((np.abs(part) < LARGEST_NORM).all() for part in (leads, rest, blocks))
    is_bounded &= all((part >= 0).all() for part in (leads[:, 0], rest, blocks[:, [0, 3, 4, 5, 6]]))
    fits = (
        (blocks[:, 1] == np.maximum.reduceat(leads[:, 1], starts)).all()
        and (blocks[:, 2] == np.minimum.reduceat(leads[:, 1], starts)).all()
        and (blocks[:, 3] == np.maximum.reduceat(rest[:, 2], starts)).all()
        and (blocks[:, 0] >= np.maximum.reduceat(rest[:, 0] - rest[:, 1], starts) * (1 - 1e-5)).all()
    )
    if not (is_bounded and fits):
        raise RetrievalError(f"{path} holds bounds that contradict each other.")
