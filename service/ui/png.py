"""PNG: arrays of pixels as pictures within a page, without a library for it (ISO/IEC 15948)."""

import struct
import zlib
from base64 import b64encode
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
GREY, COLOUR = 0, 2
GAP: Final = 1
"""Pixels between two images of a mosaic."""
PAPER: Final = 0.5
"""What lies between them: neither black nor white, so that it is seen in both themes."""


def address(images: Tensor, columns: int = 0) -> str:
    """Images side by side as the address of one picture, `data:image/png;base64,...`.

    Args:
        images: in [0, 1], shape (n, 1 or 3, height, width).
        columns: images a row; all in one row when 0.
    """
    return f"data:image/png;base64,{b64encode(encode(mosaic(images, columns or len(images)))).decode()}"


def mosaic(images: Tensor, columns: int) -> NDArray[np.uint8]:
    """Images row by row on grey paper, shape (height, width, channels).

    Args:
        images: in [0, 1], shape (n, channels, height, width), n at least 1.
        columns: images a row.
    """
    missing = -len(images) % columns
    filled = torch.cat([images, images.new_full((missing, *images.shape[1:]), PAPER)])
    padded = torch.nn.functional.pad(filled, (0, GAP, 0, GAP), value=PAPER)
    n, channels, height, width = padded.shape
    rows = n // columns
    paper = padded.view(rows, columns, channels, height, width).permute(0, 3, 1, 4, 2)
    whole = paper.reshape(rows * height, columns * width, channels)[:-GAP, :-GAP]
    pixels: NDArray[np.uint8] = (whole.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    return pixels


def encode(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG file of pixels, shape (height, width, 1 or 3)."""
    height, width, channels = pixels.shape
    head = struct.pack(">IIBBBBB", width, height, 8, GREY if channels == 1 else COLOUR, 0, 0, 0)
    lines = np.zeros((height, 1 + width * channels), np.uint8)  # each line begins with its filter: none
    lines[:, 1:] = pixels.reshape(height, -1)
    parts = (b"IHDR", head), (b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b"")
    return SIGNATURE + b"".join(_chunk(name, content) for name, content in parts)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
