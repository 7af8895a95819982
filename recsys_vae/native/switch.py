"""The switch of all compiled loops, RECSYS_NATIVE: 1 takes the best, 0 none, the name of a level that one.

Of the loops over tables there is one level for any processor, which every level stands for.
"""

from functools import lru_cache
from typing import Final

from recsys_vae.errors import UnknownNameError
from recsys_vae.native.build import levels

SWITCH: Final = "RECSYS_NATIVE"


@lru_cache(maxsize=16)
def is_off(value: str) -> bool:
    """Whether no loops are to be used.

    Raises:
        UnknownNameError: it is no level.
    """
    known = ("0", "1", *(level.name for level in levels()))
    if value not in known:
        raise UnknownNameError(f"level of compiled loops ({SWITCH})", value, known)
    return value == "0"
