"""Plain history: ids alone, kept as the text that they came in.

Most are looked up once, all together, by compiled code that reads text. As a dict of Python strings a history takes
ten times the memory, and many that wait fill the caches of a processor.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property


class PlainHistory(Mapping[str, float]):
    """A history of ids, each of them liked.

    Args:
        text: the ids in UTF-8, a NUL between two.
        size: how many they are; no two are the same.
    """

    def __init__(self, text: bytes, size: int) -> None:
        self.text, self._size = text, size

    @cached_property
    def _weights(self) -> dict[str, float]:
        return dict.fromkeys(self.text.decode().split("\0"), 1.0) if self._size else {}

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __getitem__(self, item_id: str) -> float:
        return self._weights[item_id]
