"""PlainLibrary: compiled loops of which there is one level for any processor, loaded without torch."""

import ctypes
import os
from collections.abc import Sequence
from functools import cached_property

from recsys_vae.errors import UnknownNameError
from recsys_vae.native.build import COMPILED
from recsys_vae.native.switch import SWITCH, is_off


class PlainLibrary:
    """A library that may not be there; where it is not, callers do the same in another way.

    Args:
        name: of the file, without its ending.
        newest: the function that came last: a library without it was compiled before the sources had it.
        counting: functions that return an int64.
        pointing: functions that return an address.
    """

    def __init__(self, name: str, newest: str, counting: Sequence[str], pointing: Sequence[str] = ()) -> None:
        self._name, self._newest = name, newest
        self._returns = dict.fromkeys(counting, ctypes.c_int64) | dict.fromkeys(pointing, ctypes.c_void_p)

    def get(self) -> ctypes.CDLL | None:
        """The library, None where it cannot be had.

        Raises:
            UnknownNameError: RECSYS_NATIVE names no level.
        """
        return None if is_off(os.environ.get(SWITCH, "1")) else self._loaded

    def description(self) -> str:
        """For people: whether it is used, or why not."""
        try:
            if is_off(os.environ.get(SWITCH, "1")):
                return f"not used: {SWITCH}=0"
        except UnknownNameError as error:
            return f"not used: {error}"
        return (
            "in use"
            if self._loaded is not None
            else "not used: not compiled when this was installed, or of older sources"
        )

    @cached_property
    def _loaded(self) -> ctypes.CDLL | None:
        try:
            found = ctypes.CDLL(str(COMPILED / f"{self._name}.so"))
        except OSError:
            return None
        if not hasattr(found, self._newest):
            return None
        for function, kind in self._returns.items():
            getattr(found, function).restype = kind
        return found
