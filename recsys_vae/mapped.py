"""Mapped arrays: what several processes of one machine hold alike lies in files that all of them map: in memory once.

Whoever comes first makes the arrays and writes them; the others find them written. A mapping is private (copy on
write): whoever writes to it has a page of its own from then on, and no file changes. Files that were removed stay
readable for as long as they are mapped.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from recsys_vae.arrays import PRIVATE
from recsys_vae.protocols import Tensors

NAMES: Final = "names.json"

Keep = Callable[[str, Callable[[], Tensors]], Tensors]
"""Arrays by the name of the whole: those that are kept, or those that are made now."""


def as_made(name: str, make: Callable[[], Tensors]) -> Tensors:
    """Arrays of this process alone; see `Keep`."""
    return make()


class MappedArrays:
    """Arrays in a folder that belongs to the processes which share them; a `Keep`.

    Args:
        folder: made where there is none; nobody else may write to it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def __call__(self, name: str, make: Callable[[], Tensors]) -> Tensors:
        """The arrays of this name, mapped; as they are made where they cannot be written."""
        place = self._folder / name
        if not place.is_dir():
            made = make()
            try:
                self._write(place, made)
            except OSError:  # the disk is full, or somebody was faster
                if not place.is_dir():
                    return made
        return _mapped(place)

    def below(self, name: str, most: int) -> "MappedArrays":
        """A folder of its own below this one; of all there are only the `most` that were asked for last stay."""
        found = MappedArrays(self._folder / name)
        found._folder.touch()
        newest = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in newest[most:]:
            shutil.rmtree(path, ignore_errors=True)
        return found

    def _write(self, place: Path, arrays: Tensors) -> None:
        """Write arrays to a place, whole or not at all."""
        with TemporaryDirectory(dir=self._folder, prefix=".", ignore_cleanup_errors=True) as folder:
            whole = Path(folder) / "whole"
            whole.mkdir()
            for number, array in enumerate(arrays.values()):
                np.save(whole / f"{number}.npy", array, allow_pickle=False)
            (whole / NAMES).write_text(json.dumps(list(arrays)))
            whole.rename(place)


def _mapped(place: Path) -> Tensors:
    names = json.loads((place / NAMES).read_text())
    return {name: np.load(place / f"{number}.npy", mmap_mode=PRIVATE) for number, name in enumerate(names)}
