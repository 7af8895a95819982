"""A folder of pictures as images of one size: each of its subfolders is a class, or none is where there are none."""

import warnings
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from pipelines.images.splits import ImageParts, PassedOver, cut_in_order
from recsys_vae.errors import ConfigError, DataError
from recsys_vae.images.data.image_set import ImageSet

SPLIT = "80/10/10 by the hash of each file's name"


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
        if min(self.height, self.width) < 1:
            raise ConfigError(f"An image is at least 1 pixel wide and high, got {self.height} x {self.width}.")


def read_folder(folder: Path, form: Format) -> ImageParts:
    """Read all pictures below a folder; which part one goes to depends on its name alone, as far as shares allow.

    Raises:
        DataError: it holds fewer than three pictures that can be read, or pictures both in subfolders and beside them.
    """
    paths, passed_over = _pictures(folder)
    found, unreadable = _read_all(folder, paths, form)
    if not found:
        raise DataError(f"{folder} holds no picture that can be read ({len(paths)} files were tried).")
    hashes = [_hash(folder, path) for path in found]
    names = _class_names(folder, list(found))
    y = torch.tensor([names.index(_class(folder, path)) for path in found]) if names else None
    x = torch.from_numpy(np.stack(list(found.values()))).permute(0, 3, 1, 2).contiguous()
    order = np.array(sorted(range(len(found)), key=hashes.__getitem__))
    parts = cut_in_order(str(folder.resolve()), ImageSet(x, y), order, tuple(names), SPLIT)
    return replace(parts, passed_over=(*passed_over, *unreadable))


def read_picture(path: Path, form: Format) -> np.ndarray:
    """One picture as bytes, shape (height, width, channels), upright.

    Raises:
        DataError: it cannot be read; the message is the reason alone.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata of a file, which do not matter here
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                upright = ImageOps.exif_transpose(picture).convert("RGB" if form.colour else "L")
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(str(error).replace(f" {str(path)!r}", "")) from error
    except Image.DecompressionBombWarning as error:
        raise DataError(f"too large: {error}") from error
    fitted = ImageOps.fit(upright, (form.width, form.height), Image.Resampling.LANCZOS)
    return np.asarray(fitted, np.uint8).reshape(form.height, form.width, -1)


def _pictures(folder: Path) -> tuple[list[Path], list[PassedOver]]:
    """Files that are pictures by their ending, and the others; hidden files are neither."""
    endings = Image.registered_extensions()
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not _is_hidden(folder, path))
    others = [path for path in files if path.suffix.lower() not in endings]
    passed_over = [PassedOver(str(path.relative_to(folder)), "no picture by its ending") for path in others]
    return [path for path in files if path.suffix.lower() in endings], passed_over


def _read_all(folder: Path, paths: list[Path], form: Format) -> tuple[dict[Path, np.ndarray], list[PassedOver]]:
    found, unreadable = {}, []
    for path in tqdm(paths, desc="reading pictures", unit="file", leave=False, disable=None):
        try:
            found[path] = read_picture(path, form)
        except DataError as error:
            unreadable.append(PassedOver(str(path.relative_to(folder)), str(error)))
    return found, unreadable


def _class_names(folder: Path, paths: list[Path]) -> list[str]:
    """Names of the classes in order; none where all pictures lie in the folder itself."""
    names = sorted({_class(folder, path) for path in paths})
    if names == [""]:
        return []
    if "" in names:
        loose = next(path.name for path in paths if not _class(folder, path))
        raise DataError(
            f"{folder} holds pictures in subfolders, which are classes, and others beside them ({loose}). Move these "
            "into a subfolder of their own."
        )
    return names


def _class(folder: Path, path: Path) -> str:
    return "" if path.parent == folder else path.relative_to(folder).parts[0]


def _hash(folder: Path, path: Path) -> str:
    return sha256(path.relative_to(folder).as_posix().encode()).hexdigest()


def _is_hidden(folder: Path, path: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)
