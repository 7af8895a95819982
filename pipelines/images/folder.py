"""A folder of pictures as images of one size: each of its subfolders is a class, or none is where there are none."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from pipelines.images.pictures import ENDINGS, Format, Picture, read_picture
from pipelines.images.splits import FEWEST, ImageParts, Remark, cut_in_order
from recsys_vae.errors import DataError
from recsys_vae.images.data.image_set import ImageSet

SPLIT = "80/10/10 by the hash of each file's name"


def read_folder(folder: Path, form: Format) -> ImageParts:
    """Read all pictures below a folder; which part one goes to depends on its name alone, as far as shares allow.

    Raises:
        DataError: it holds fewer than three pictures that can be read, or pictures both in subfolders and beside them.
    """
    paths, others = _pictures(folder)
    found, unreadable = _read_all(folder, paths, form)
    passed_over = (*unreadable, *others)
    if len(found) < FEWEST:
        needed = f"at least {FEWEST} are needed, one for each part"
        why = f" Passed over were {len(passed_over):,}, such as {passed_over[0]}." if passed_over else ""
        raise DataError(f"{folder} holds {len(found)} pictures that can be read; {needed}.{why}")
    hashes = [_hash(folder, path) for path in found]
    names = _class_names(folder, list(found))
    y = torch.tensor([names.index(_class(folder, path)) for path in found]) if names else None
    x = torch.from_numpy(np.stack([picture.pixels for picture in found.values()])).permute(0, 3, 1, 2).contiguous()
    order = np.array(sorted(range(len(found)), key=hashes.__getitem__))
    parts = cut_in_order(str(folder.resolve()), ImageSet(x, y), order, tuple(names), SPLIT)
    misnamed = (Remark(_name(folder, path), picture.remark) for path, picture in found.items() if picture.remark)
    return replace(parts, passed_over=passed_over, misnamed=tuple(misnamed))


def _pictures(folder: Path) -> tuple[list[Path], list[Remark]]:
    """Files that are pictures by their ending, and the others; hidden files are neither."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not _is_hidden(folder, path))
    others = [path for path in files if path.suffix.lower() not in ENDINGS]
    reason = f"its ending is none of {', '.join(ENDINGS)}"
    pictures = [path for path in files if path.suffix.lower() in ENDINGS]
    return pictures, [Remark(_name(folder, path), reason) for path in others]


def _read_all(folder: Path, paths: list[Path], form: Format) -> tuple[dict[Path, Picture], list[Remark]]:
    found, unreadable = {}, []
    for path in tqdm(paths, desc="reading pictures", unit="file", leave=False, disable=None):
        try:
            found[path] = read_picture(path, form)
        except DataError as error:
            unreadable.append(Remark(_name(folder, path), str(error)))
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


def _name(folder: Path, path: Path) -> str:
    return str(path.relative_to(folder))


def _is_hidden(folder: Path, path: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)
