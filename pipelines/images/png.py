"""Single pictures on disk: read as images of a model's shape, and written back."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from pipelines.images.output_files import MADE_BY, PICTURE
from pipelines.images.pictures import ENDINGS, Format, Picture, read_picture
from pipelines.images.splits import Remark
from recsys_vae.atomic import atomic_file
from recsys_vae.errors import ConfigError, DataError, EmptyDataError
from recsys_vae.images.data.image_set import ImageSet
from recsys_vae.images.layers.checks import Shape
from recsys_vae.outputs import check_output


def read_pictures(paths: Sequence[Path], shape: Shape) -> tuple[tuple[str, ...], ImageSet, tuple[Remark, ...]]:
    """Names and images of pictures, and of those directly in folders, each brought to a shape; then those misnamed.

    Args:
        paths: of files and folders.
        shape: channels, height and width.

    Raises:
        DataError: one of them is missing or cannot be read.
        EmptyDataError: there is none.
    """
    files = [file for path in paths for file in (_within(path) if path.is_dir() else [path])]
    if not files:
        raise EmptyDataError(f"No picture lies in {', '.join(map(str, paths))}.")
    channels, height, width = shape
    form = Format(height, width, channels == 3)
    read = [_read(file, form) for file in files]
    pixels = torch.from_numpy(np.stack([picture.pixels for picture in read]))
    misnamed = (Remark(str(file), picture.remark) for file, picture in zip(files, read, strict=True) if picture.remark)
    return tuple(map(str, files)), ImageSet(pixels.permute(0, 3, 1, 2).contiguous()), tuple(misnamed)


def write_pictures(images: Tensor, names: Sequence[str], folder: Path) -> list[Path]:
    """Write images as PNG files, named as the files that they come from.

    Args:
        images: in [0, 1], shape (n, 1 or 3, height, width).
        names: one an image.

    Raises:
        ConfigError: two of them would have one name, or one would replace the file that it comes from or another's.
    """
    paths = [folder / f"{Path(name).stem}.png" for name in names]
    if len(set(paths)) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise ConfigError(f"Several files would become {twice}: name them apart, or clean them one folder at a time.")
    if own := [path for path, name in zip(paths, names, strict=True) if path.resolve() == Path(name).resolve()]:
        raise ConfigError(f"{own[0]} would be replaced by what is made of it: choose another folder for --to.")
    pixels = (images.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).squeeze(-1).numpy()
    if folder == Path():
        raise ConfigError("--to names no folder (is a variable unset?). Give it a name, or ./NAME.")
    paths = [check_output(path, PICTURE) for path in paths]  # all, before any is written
    told = PngInfo()
    told.add_text("Software", MADE_BY)
    for path, image in zip(paths, pixels, strict=True):
        with atomic_file(path, PICTURE) as temporary:
            Image.fromarray(image).save(temporary, format="PNG", pnginfo=told)
    return paths


def _within(folder: Path) -> list[Path]:
    files = (path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return sorted(path for path in files if path.suffix.lower() in ENDINGS)


def _read(file: Path, form: Format) -> Picture:
    try:
        return read_picture(file, form)
    except DataError as error:
        raise DataError(f"{file} cannot be read as a picture: {error}") from error
