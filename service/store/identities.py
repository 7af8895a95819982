"""Identities: what makes an event the same one when it comes again.

An event of a dataset is known by what happened: user, item, kind and time, whichever dataset brings it. Any other is
known by the name that its source gives it.
"""

from hashlib import blake2b, sha256
from typing import Final

DATASET: Final = "dataset:"
"""Begins the sources of events that were imported; the dataset's name follows."""


def is_dataset(source: str) -> bool:
    """Whether events of this source were imported."""
    return source.startswith(DATASET)


def digest(source: str, identity: str) -> bytes:
    """What the store tells events apart by, 16 bytes."""
    if is_dataset(source):  # the migration v4 computes this one within PostgreSQL, which has no BLAKE2
        return sha256(identity.encode()).digest()[:16]
    return blake2b(f"{source}\x1f{identity}".encode(), digest_size=16).digest()


def content(user_id: str, item_id: str, event_type: str | None, moment: str) -> str:
    """Identity of an event of a dataset; `moment` as of `timed` or `untimed`."""
    return "\x1f".join((user_id, item_id, event_type or "", moment))


def timed(microseconds: int) -> str:
    """The moment of an event whose time is known."""
    return str(microseconds)


def untimed(before: int) -> str:
    """The moment of an event without a time: how many such ones of the user, the item and the kind are before it."""
    return f"#{before}"
