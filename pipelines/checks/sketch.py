"""Sketch: a sample of the ids of a dataset, by which the share of ids that two datasets have in common is estimated.

An id is in the sample by its hash alone, so two samples hold the same ids where their datasets do (bottom-k sampling by
hash; Cohen and Kaplan 2007). No id can be read from it.
"""

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b

SAMPLE = 4096
"""Ids of a sample, about: the standard error of a share is 0.008 at most. Where there are fewer, all are in it."""
RANGE = 1 << 32


@dataclass(frozen=True)
class Sketch:
    """A sample of ids.

    Attributes:
        below: ids whose CRC-32 lies below are in the sample.
        hashes: of each its BLAKE2 hash of 64 bits, in hexadecimal, sorted.
    """

    below: int = RANGE
    hashes: tuple[str, ...] = ()

    @classmethod
    def of(cls, ids: Iterable[str], number: int) -> "Sketch":
        """The sample of some ids, each given once; `number`: how many there are."""
        below = RANGE if number <= SAMPLE else RANGE * SAMPLE // number
        sampled = (one.encode() for one in ids)
        return cls(below, tuple(sorted(_hash(one) for one in sampled if zlib.crc32(one) < below)))

    def share_absent(self, other: "Sketch") -> float | None:
        """The share of these ids that the other dataset does not have; None where the sample is empty."""
        below = min(self.below, other.below)
        mine, theirs = (one.narrowed(below) for one in (self, other))
        return len(mine - theirs) / len(mine) if mine else None

    def share_unknown(self, counts: Mapping[str, int]) -> float | None:
        """The share of events of ids that the dataset does not have, of those that would be in the sample."""
        known, sampled = (
            set(self.hashes),
            {one: n for one, n in counts.items() if zlib.crc32(one.encode()) < self.below},
        )
        total = sum(sampled.values())
        return sum(n for one, n in sampled.items() if _hash(one.encode()) not in known) / total if total else None

    def narrowed(self, below: int) -> set[str]:
        """Hashes of a smaller sample: the CRC-32 stands in the last eight digits."""
        return {one for one in self.hashes if int(one[-8:], 16) < below}


def _hash(text: bytes) -> str:
    return blake2b(text, digest_size=8).hexdigest() + f"{zlib.crc32(text):08x}"
