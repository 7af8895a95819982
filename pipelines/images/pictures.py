"""One picture of a file as bytes of grey or colour: which formats are opened, and what becomes of each kind of pixel.

A file is what its content says. Only the formats below are tried, so nothing else that Pillow knows is ever started.
Pixels are never guessed at: numbers of more than 8 bits are scaled by the range that the file declares, and a file that
declares none is refused.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from recsys_vae.errors import ConfigError, DataError

FORMATS = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
}
"""What is opened, by the names that Pillow has for it, and the endings of its files."""
ENDINGS = {ending: name for name, endings in FORMATS.items() for ending in endings}
SEVERAL_OF_ONE = "MPO"
"""Pillow's name for a JPEG with a preview or a depth map behind the picture, as telephones write it."""
MOST_PIXELS = 100_000_000
"""Of a file, before it is decoded: 400 MB in memory."""
LARGEST_SIDE = 4096
"""Of the images that pictures are brought to."""
LARGEST_16_BIT = 65535
DEPTHS = [(0.0, 2.0**bits - 1) for bits in range(8, 17)]
"""Ranges of whole numbers of 8 to 16 bits."""
PHOTOMETRIC, WHITE_IS_ZERO = 262, 0
BITS, SAMPLE_FORMAT, UNSIGNED = 258, 339, 1
RANGE_TAGS = ((340, 341), (280, 281))
"""Numbers of TIFF's tags of the lowest and highest sample value, for any type of sample and for whole ones."""


@dataclass(frozen=True)
class Format:
    """What every picture is brought to.

    Attributes:
        height, width: in pixels; a picture of other proportions loses what sticks out, evenly.
        colour: red, green and blue, or grey.
    """

    height: int = 32
    width: int = 32
    colour: bool = False

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 1 or max(self.height, self.width) > LARGEST_SIDE:
            raise ConfigError(
                f"An image is 1 to {LARGEST_SIDE:,} pixels wide and high, got {self.height} x {self.width}."
            )


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture that was read.

    Attributes:
        pixels: bytes, shape (height, width, channels), upright.
        remark: what is odd about its file; empty where nothing is.
    """

    pixels: NDArray[np.uint8]
    remark: str = ""


def read_picture(path: Path, form: Format) -> Picture:
    """The picture of a file, what is transparent laid on white.

    Raises:
        DataError: it cannot be read, or holds no single picture; the message is the reason alone.
    """
    if not path.is_file():
        raise DataError("no such file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata of a file, and sizes: ours is the limit that counts
            with Image.open(path, formats=list(FORMATS)) as file:
                _check(file)
                flat, content = _flat(file), str(file.format)
    except DataError:
        raise
    except UnidentifiedImageError as error:
        raise DataError(f"its content is none of {', '.join(FORMATS)}, or its first bytes are damaged") from error
    except Exception as error:  # decoders meet damaged files with errors of any class
        raise DataError(str(error).replace(f" {str(path)!r}", "") or type(error).__name__) from error
    fitted = ImageOps.fit(
        flat.convert("RGB" if form.colour else "L"), (form.width, form.height), Image.Resampling.LANCZOS
    )
    pixels = np.asarray(fitted, np.uint8).reshape(form.height, form.width, -1)
    return Picture(pixels, _misnamed(path, "JPEG" if content == SEVERAL_OF_ONE else content))


def _check(file: Image.Image) -> None:
    """Refuse by what the header says, before anything is decoded."""
    if file.width * file.height > MOST_PIXELS:
        raise DataError(f"too large: {file.width:,} x {file.height:,} pixels, and at most {MOST_PIXELS:,} are decoded")
    if getattr(file, "is_animated", False) and file.format != SEVERAL_OF_ONE:
        raise DataError("it holds several pictures (frames or pages): save the one that is meant in a file of its own")


def _flat(file: Image.Image) -> Image.Image:
    """The picture upright, in 8 bits, grey or RGB, on white."""
    if file.mode.startswith(("I", "F")):
        span, inverted = _declared_range(file), _tag(file, PHOTOMETRIC) == WHITE_IS_ZERO
        return _rescaled(_upright(file), span, inverted)
    upright = _upright(file)
    if upright.has_transparency_data:
        drawn = upright.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", drawn.size, "white"), drawn).convert("RGB")
    return upright.convert("L" if upright.mode in ("1", "L") else "RGB")


def _upright(file: Image.Image) -> Image.Image:
    file.load()
    try:
        return ImageOps.exif_transpose(file)
    except Exception:  # what a camera noted is damaged: the picture itself has been decoded
        return file


def _rescaled(picture: Image.Image, span: tuple[float, float], inverted: bool) -> Image.Image:
    """Grey of 8 bits from numbers that run from black to white over a span."""
    low, high = span
    values = np.asarray(picture)
    if high > np.iinfo(np.int32).max and values.dtype == np.int32:
        values = values.view(np.uint32)  # Pillow hands unsigned numbers of 32 bits on as signed ones
    if not (values.min() >= low and values.max() <= high):  # nor where one is NaN
        raise DataError(
            f"its pixels run from {values.min():g} to {values.max():g}, and it declares {low:g} to {high:g} (floats "
            "without a declared range are taken as 0 to 1): save it with 8 or 16 bits"
        )
    grey = np.subtract(values, low, dtype=np.float64)
    grey *= 255 / (high - low)
    np.rint(grey, out=grey)
    if inverted:
        np.subtract(255, grey, out=grey)
    if isinstance(clear := picture.info.get("transparency"), int):
        grey[values == clear] = 255
    return Image.fromarray(grey.astype(np.uint8))


def _declared_range(file: Image.Image) -> tuple[float, float]:
    """What stands for black and for white in a file of more than 8 bits a pixel.

    Raises:
        DataError: the file does not say.
    """
    if file.format != "TIFF":
        return (0.0, 1.0) if file.mode == "F" else (0.0, float(LARGEST_16_BIT))  # a PPM comes scaled to 16 bits
    spans = [(float(_tag(file, low) or 0), float(_tag(file, high) or 0)) for low, high in RANGE_TAGS]
    if file.mode.startswith("I;16"):  # of unsigned numbers only a depth counts: others are statistics of one file
        whole = (0.0, float(2 ** int(_tag(file, BITS)) - 1))
        return next((span for span in spans if span in DEPTHS), whole)
    if declared := [span for span in spans if span[0] < span[1]]:
        return declared[0]
    if file.mode == "F":
        return 0.0, 1.0
    kind = f"{'' if _tag(file, SAMPLE_FORMAT) == UNSIGNED else 'signed '}whole numbers of {_tag(file, BITS)} bits"
    raise DataError(
        f"its pixels are {kind}, and it does not say which is black and which is white (tags SMinSampleValue and "
        "SMaxSampleValue): save it with 8 or 16 bits"
    )


def _tag(file: Image.Image, number: int) -> Any:
    """A tag of a TIFF, the first value where there are several; None where it is not there."""
    value = getattr(file, "tag_v2", {}).get(number)
    return value[0] if isinstance(value, tuple) else value


def _misnamed(path: Path, content: str) -> str:
    said = ENDINGS.get(path.suffix.lower())
    return (
        "" if said == content else f"its content is {content}, and its ending {path.suffix or '(none)'} does not say so"
    )
