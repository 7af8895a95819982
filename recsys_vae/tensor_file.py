"""Safetensors files of more than fits into memory: written block by block, and mapped instead of read.

The bytes are those that the library itself writes. Source: https://github.com/huggingface/safetensors, "Format".
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from recsys_vae.arrays import PRIVATE
from recsys_vae.errors import DataError

NAMES: Final = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "int16": "I16", "uint16": "U16", "float16": "F16", "int32": "I32",
    "uint32": "U32", "float32": "F32", "float64": "F64", "int64": "I64", "uint64": "U64",
}  # fmt: skip
"""Of types; in a file those that come later here come first."""
BYTES_AT_ONCE: Final = 1 << 24
LONGEST_HEADER: Final = 100_000_000


@dataclass(frozen=True)
class Blocks:
    """A tensor that is made while it is written.

    Attributes:
        dtype, shape: of it.
        blocks: its rows, one block after the other.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    blocks: Iterable[NDArray[Any]]


def write_tensors(
    path: Path, tensors: Mapping[str, NDArray[Any] | Blocks], metadata: Mapping[str, str] | None = None
) -> str:
    """Write tensors by name; returns the SHA-256 of the file, in hexadecimal.

    Raises:
        DataError: blocks do not make up the shape that was said.
    """
    order = list(NAMES)
    names = sorted(tensors, key=lambda name: (-order.index(tensors[name].dtype.name), name))
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name in names:
        start, end = end, end + math.prod(tensors[name].shape) * tensors[name].dtype.itemsize
        kind, shape = NAMES[tensors[name].dtype.name], list(tensors[name].shape)
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [start, end]}
    told = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    told += b" " * (-len(told) % 8)
    digest = sha256()
    with path.open("wb") as file:
        for opening in (len(told).to_bytes(8, "little"), told):
            file.write(opening)
            digest.update(opening)
        for name in names:
            one, written = tensors[name], 0
            for block in one.blocks if isinstance(one, Blocks) else (one,):
                for piece in _pieces(block):
                    file.write(piece)
                    digest.update(piece)
                    written += len(piece)
            start, end = header[name]["data_offsets"]
            if written != end - start:
                raise DataError(f"The blocks of {name} have {written} bytes, expected {end - start}.")
    return digest.hexdigest()


def _pieces(block: NDArray[Any]) -> Iterable[memoryview]:
    whole = np.ascontiguousarray(block).reshape(-1).view(np.uint8).data
    return (whole[start : start + BYTES_AT_ONCE] for start in range(0, len(whole), BYTES_AT_ONCE))


def map_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Tensors of a file by name, mapped: pages are read when they are looked at; writing changes no file.

    Raises:
        DataError: it is no such file.
    """
    kinds = {name: kind for kind, name in NAMES.items()}
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, LONGEST_HEADER)))
        header.pop("__metadata__", None)
        return {name: _mapped(path, 8 + length, kinds[one["dtype"]], one) for name, one in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is no file of tensors: {error}") from error


def _mapped(path: Path, offset: int, kind: str, told: Mapping[str, Any]) -> NDArray[Any]:
    shape, (start, end) = tuple(told["shape"]), told["data_offsets"]
    if end - start != math.prod(shape) * np.dtype(kind).itemsize:
        raise ValueError("a shape does not fit its bytes")
    if end == start:
        return np.empty(shape, kind)
    return np.memmap(path, kind, PRIVATE, offset + start, shape)
