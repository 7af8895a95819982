"""Erased users of a dataset: whom no log of before may bring back, known by digests alone.

DATASET/erased.json     digest of each -> when the user was erased, and how many rows of the logs were taken for that

It names nobody, but tells whoever has it and an id whether that user was erased.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from recsys_vae.errors import DataError

ERASED = "erased.json"
NEVER = np.iinfo(np.int64).min
"""As the moment of a user who was not erased."""


@dataclass(frozen=True)
class ErasedUsers:
    """Who was erased from a dataset, and when.

    Attributes:
        moments: digest of each user -> when, in microseconds since 1970, UTC; what happened later stays.
        rows: of the logs that are in the dataset, those that were taken because their users were erased.
    """

    moments: Mapping[str, int] = field(default_factory=dict)
    rows: int = 0

    @classmethod
    def read(cls, folder: Path) -> "ErasedUsers":
        """Those of a dataset's folder; nobody where there is no such file.

        Raises:
            DataError: it is unreadable, so that nobody knows who may not come back.
        """
        path = folder / ERASED
        try:
            told: dict[str, Any] = json.loads(path.read_bytes())
            return cls({str(name): int(at) for name, at in told["users"].items()}, int(told["rows"]))
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{path} cannot be read: {error!r}. It says who was erased: put it back from a backup, or remove it "
                "where nobody was."
            ) from error

    def write(self, folder: Path) -> None:
        """Write the file into a folder that is being made; one that is there may be that of another dataset too."""
        path = folder / ERASED
        path.unlink(missing_ok=True)
        path.write_text(json.dumps({"rows": self.rows, "users": dict(self.moments)}) + "\n")

    def of(self, users: Iterable[str]) -> np.ndarray:
        """When each user was erased, in microseconds, int64; `NEVER` for the others."""
        if not self.moments:
            return np.full(sum(1 for _ in users), NEVER)
        return np.fromiter((self.moments.get(digest(user), NEVER) for user in users), np.int64)

    def joined(self, users: Mapping[str, int]) -> "ErasedUsers":
        """With further users, by id; of two moments of one user the later counts."""
        known = dict(self.moments)
        for user, moment in users.items():
            name = digest(user)
            known[name] = max(known.get(name, moment), moment)
        return replace(self, moments=known)


def digest(user: str) -> str:
    """What stands for a user's id."""
    return blake2b(user.encode(), digest_size=16).hexdigest()
