"""Leftovers: hidden files and folders of processes that were killed while they wrote, and pages of old decisions."""

import re
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from pipelines.promotion.champions import decisions_folder
from pipelines.promotion.page import WRITTEN as PAGE
from pipelines.promotion.records import FIGURES
from pipelines.retention.removal import Limits, Removal, size_of, touched
from recsys_vae.atomic import PARTIAL, REPLACED, remove_partials
from recsys_vae.home import home

DECISIONS, LEFTOVERS = "pages of decisions", "leftovers"
AT_WORK = timedelta(days=1)
"""Whoever still writes has written something within that time."""
_STAGED = (".staged.*", ".lists.*")
"""Folders of RECSYS_HOME in which logs and lists lie while a process works."""
_LEFT = re.compile(rf"\.(.+)\.[0-9a-f]{{8}}(?:{re.escape(PARTIAL)}|{re.escape(REPLACED)})")


def old_decisions(name: str, limits: Limits) -> Iterator[Removal]:
    """Pages and figures of decisions on a registered model past their age, but for the last one's."""
    pages = sorted(decisions_folder(name).glob("*-version-*.html"))
    for page in pages[:-1]:
        figures = page.with_suffix(".json")
        ours = [
            path for path, product in ((page, PAGE), (figures, FIGURES)) if path.is_file() and not product.doubt(path)
        ]
        if ours and limits.is_old(page):
            yield Removal(DECISIONS, page.stem, size_of(ours), lambda ours=ours: _remove(ours))  # type: ignore[misc]


def leftovers(folders: list[Path], limits: Limits) -> Iterator[Removal]:
    """What killed processes have left in RECSYS_HOME and in these folders."""
    still = limits.moment() - AT_WORK
    for pattern in _STAGED:
        for path in sorted(home().glob(pattern)):
            if path.is_dir() and not path.is_symlink() and touched(path) < still.timestamp():
                yield Removal(LEFTOVERS, str(path), size_of([path]), lambda path=path: _remove([path]))  # type: ignore[misc]
    for folder in folders:
        left: dict[str, list[Path]] = {}
        for path in sorted(folder.glob(".*")) if folder.is_dir() else ():
            if (found := _LEFT.fullmatch(path.name)) and not path.is_symlink():
                left.setdefault(found[1], []).append(path)
        for name, paths in left.items():
            if max(map(touched, paths)) < still.timestamp():
                place = folder / name
                yield Removal(LEFTOVERS, str(place), size_of(paths), lambda place=place: _clear(place))  # type: ignore[misc]


def _clear(place: Path) -> str:
    remove_partials(place)  # what was set aside is put back where nothing took its place
    return ""


def _remove(paths: list[Path]) -> str:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return ""
