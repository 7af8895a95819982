"""Plug-ins: models that other distributions add to the catalogue, by an entry point of the group `recsys_vae.models`.

    [project.entry-points."recsys_vae.models"]
    my-model = "my_package.my_model:ENTRY"

ENTRY is an `Entry`, or a function without arguments that gives one. Names are read from the metadata of what is
installed; a plug-in is imported when its model is first asked for, so that one that is broken stops no other model.
"""

from collections.abc import Mapping
from dataclasses import is_dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from recsys_vae.errors import PluginError
from recsys_vae.models.entry import Entry

GROUP = "recsys_vae.models"


@cache
def found() -> Mapping[str, tuple[EntryPoint, ...]]:
    """Entry points by the name of their model; two of one name are a clash."""
    points: dict[str, tuple[EntryPoint, ...]] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, origin(point))):
        points[point.name] = (*points.get(point.name, ()), point)
    return points


def origin(point: EntryPoint) -> str:
    """Name and version of the distribution that an entry point belongs to."""
    return " ".join(distribution(point))


def distribution(point: EntryPoint) -> tuple[str, str]:
    """Name and version of the distribution that an entry point belongs to."""
    if point.dist is None:  # made by hand, not read from what is installed
        return "an unknown distribution", ""
    return point.dist.name, point.dist.version


def check_free(name: str) -> None:
    """Refuse a name of this package that a plug-in takes as well.

    Raises:
        PluginError: the message names the plug-in's distribution.
    """
    if points := found().get(name):
        raise PluginError(
            f"{origin(points[0])} adds a model {name!r} by its entry point {points[0].value}, and recsys-vae has one "
            "of that name: ask its authors for another name, or uninstall it."
        )


@cache
def load(name: str) -> Entry:
    """The entry of a model that a plug-in adds; `name` is one of those found.

    Raises:
        PluginError: two distributions add a model of that name, or the plug-in does not give a usable entry.
    """
    point, *others = found()[name]
    if others:
        raise PluginError(
            f"A model {name!r} is added by {' and by '.join(map(origin, (point, *others)))}: uninstall all but one."
        )
    try:
        loaded = point.load()
        entry = loaded() if callable(loaded) else loaded
        _check(entry)
    except Exception as error:  # whatever the code of others raises
        raise PluginError(
            f"The model {name!r} that {origin(point)} adds by its entry point {point.value} cannot be used "
            f"({type(error).__name__}: {error}): update or uninstall {point.dist.name if point.dist else 'it'}."
        ) from error
    return entry  # type: ignore[no-any-return]


def _check(entry: object) -> None:
    """Raise TypeError unless this is an entry whose configuration has a default for every field."""
    if not isinstance(entry, Entry):
        raise TypeError(f"expected an Entry(config, model, summary), got {type(entry).__name__}")
    if not isinstance(entry.model, type):
        raise TypeError(f"the model of an Entry is a class, got {entry.model!r}")
    if not is_dataclass(entry.config()):
        raise TypeError(f"the config of an Entry is a frozen dataclass, got {entry.config!r}")
