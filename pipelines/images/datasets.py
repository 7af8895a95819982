"""Sets of images by name: where they lie, where they are fetched from, and how they are cut.

mnist           70,000 digits of 28 x 28; validation is the last 10,000 of the 60,000 published for training
fashion-mnist   70,000 pieces of clothing of 28 x 28, cut likewise
digits          1,797 digits of 8 x 8 that come with scikit-learn, cut at random
shapes          6,144 generated shapes of known factors (shapes_dataset.py), cut at random
FOLDER          pictures below a folder (folder.py, pictures.py)
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from pipelines.images.folder import read_folder
from pipelines.images.idx import read_idx
from pipelines.images.pictures import Format
from pipelines.images.shapes_dataset import KINDS, generated_shapes
from pipelines.images.splits import ImageParts, cut_at_random
from pipelines.public_datasets.catalog import DATA_DIR_VARIABLE
from pipelines.public_datasets.download import Checksum, WebFile
from recsys_vae.errors import ConfigError, DataError, UnknownNameError
from recsys_vae.home import home
from recsys_vae.images.data.image_set import ImageSet
from recsys_vae.images.layers.checks import Shape

HELD_OUT = 10_000
"""Images for validation, the last of the part that MNIST and Fashion-MNIST publish for training."""
MNIST_FILE = WebFile(
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
    Checksum("sha256", "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"),
)
FASHION_ADDRESS = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
FASHION_FILES = {
    "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
}
"""Name and MD5 (of the compressed file), as the publisher's README gives them."""
DEBIAN_FASHION = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts them."""
FASHION_LABELS = (
    *("T-shirt/top", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)
SIDE = 32
"""Of the images of shapes and folders, in pixels, where nobody says."""
DIGIT_LABELS = tuple("0123456789")


def load_images(data: str, *, size: int | None = None, colour: bool = False) -> ImageParts:
    """A set of images in its three parts: by name, or a folder of pictures.

    Args:
        data: mnist, fashion-mnist, digits, shapes, or the path of a folder.
        size: side of the images of shapes and folders, in pixels; `SIDE` when not given.
        colour: read the pictures of a folder as red, green and blue.

    Raises:
        UnknownNameError: neither a name nor a folder.
        ConfigError: a size or colour is asked for where the set decides.
        UnavailableError: it has to be downloaded, and nobody answers.
        DataError: what is there is not what was published, or gives no images.
    """
    side = SIDE if size is None else size
    if data in NAMED:
        _check_options(data, size, colour)
        return NAMED[data](side)
    folder = Path(data).expanduser()
    if folder.is_dir():
        return read_folder(folder, Format(side, side, colour))
    raise UnknownNameError("set of images, and no folder,", data, NAMED)


def load_images_for(data: str, shape: Shape) -> ImageParts:
    """A set of images as a model of this shape takes them: shapes and folders are made to fit.

    Raises:
        DataError: the images of the set have another shape. Otherwise as `load_images`.
    """
    channels, height, width = shape
    if data not in NAMED and (folder := Path(data).expanduser()).is_dir():
        return read_folder(folder, Format(height, width, channels == 3))
    parts = load_images(data, size=height if data == "shapes" else None)
    if parts.shape != shape:
        raise DataError(f"The model is for images of shape {shape}, those of {data} have {parts.shape}.")
    return parts


def _check_options(data: str, size: int | None, colour: bool) -> None:
    if colour:
        raise ConfigError(f"The images of {data} are grey: colour is for folders of pictures. Leave it out.")
    if size is not None and data != "shapes":
        raise ConfigError(f"The images of {data} have the size that they have: size is for shapes and folders.")


def _mnist(_: int) -> ImageParts:
    names = ("x_train", "y_train", "x_test", "y_test")
    path = _locate("mnist", ["mnist.npz"]) or MNIST_FILE.download(_fetched("mnist"))
    path = path / "mnist.npz" if path.is_dir() else path
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return _published("mnist", [arrays[name] for name in names], DIGIT_LABELS)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path} is not MNIST as arrays {', '.join(names)}: {error}. Remove it to fetch it.") from error


def _fashion(_: int) -> ImageParts:
    names = list(FASHION_FILES)
    folder = _locate("fashion-mnist", names, DEBIAN_FASHION)
    if folder is None:
        folder = _fetched("fashion-mnist")
        for name, md5 in FASHION_FILES.items():
            WebFile(f"{FASHION_ADDRESS}/{name}.gz", Checksum("md5", md5)).download(folder)
    return _published("fashion-mnist", [read_idx(_plain_or_packed(folder, name)) for name in names], FASHION_LABELS)


def _digits(_: int) -> ImageParts:
    from sklearn.datasets import load_digits

    found = load_digits()
    pixels = np.rint(found.images * (255 / 16)).astype(np.uint8)
    images = ImageSet(torch.from_numpy(pixels).unsqueeze(1), torch.from_numpy(found.target.astype(np.int64)))
    return cut_at_random("digits", images, DIGIT_LABELS)


def _shapes(size: int) -> ImageParts:
    return cut_at_random("shapes", generated_shapes(size).images, KINDS)


def _published(name: str, arrays: Sequence[np.ndarray], labels: tuple[str, ...]) -> ImageParts:
    x, y, x_test, y_test = (torch.from_numpy(array) for array in arrays)
    whole, test = ImageSet(x.unsqueeze(1), y.long()), ImageSet(x_test.unsqueeze(1), y_test.long())
    return ImageParts(
        name,
        whole.only(slice(None, -HELD_OUT)),
        whole.only(slice(-HELD_OUT, None)),
        test,
        f"test as published, validation the last {HELD_OUT:,} of the published train part",
        labels,
    )


def _locate(name: str, files: Sequence[str], *further: Path) -> Path | None:
    """The first folder with all files, plain or packed by gzip: of RECSYS_DATA_DIR, others, where they are fetched."""
    named = os.environ.get(DATA_DIR_VARIABLE)
    folders = [Path(named).expanduser() / name] if named else []
    folders += [*further, _fetched(name)]
    return next((folder for folder in folders if all(_plain_or_packed(folder, f).is_file() for f in files)), None)


def _plain_or_packed(folder: Path, file: str) -> Path:
    plain = folder / file
    return plain if plain.is_file() else folder / f"{file}.gz"


def _fetched(name: str) -> Path:
    return home() / "public" / name


NAMED: dict[str, Callable[[int], ImageParts]] = {
    "mnist": _mnist,
    "fashion-mnist": _fashion,
    "digits": _digits,
    "shapes": _shapes,
}
