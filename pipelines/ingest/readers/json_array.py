"""An array of JSON objects, or several in a row: each object is put on a line of its own and read as JSON lines are.

Lines mean little here, since one may hold the whole array: what is accounted for are values, as Python's decoder
counts them. Messages still name the line on which a value begins.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from pipelines.ingest.readers.blocks import Block, Rejected, plain_raw
from pipelines.ingest.readers.json_lines import none, parse
from pipelines.ingest.readers.streams import LONGEST_LINE, Text
from recsys_vae.errors import DataError

_BETWEEN = re.compile(r"[\s,]*")
_NEXT = re.compile(r"[,\n]\s*(?=\{)")
"""Where the next object may begin after one that cannot be read."""
CUT_OFF = "the array has no end: the file is cut off"
_decode = json.JSONDecoder(strict=False).raw_decode


class JsonArray:
    """A file of one array that is open. Its columns are known when it has been read."""

    columns: tuple[str, ...] = ()

    def __init__(self, texts: Iterator[Text], wanted: Sequence[str] | None, name: str) -> None:
        self._texts, self._wanted, self._name = texts, wanted, name

    def __iter__(self) -> Iterator[Block]:
        values, rest = _Values(), ""
        for text in self._texts:
            content = rest + text.content
            at = 0
            if not values.begun:
                at = _skip(content, 0)
                if at == len(content) and not text.is_last:
                    rest = content
                    continue
                if not content.startswith("[", at):
                    raise DataError(f"{self._name} is no JSON array: it begins with {content[at : at + 20]!r}.")
                at, values.begun = at + 1, True
            rest = content[values.take(content, at, is_last=text.is_last) :]
            yield self._block(values)
            values = _Values(line=values.line, begun=True, ended=values.ended)

    def _block(self, values: "_Values") -> Block:
        block = (
            parse("".join(values.texts).encode("utf-8", "surrogateescape"), 0, self._wanted) if values.texts else none()
        )
        numbers = np.asarray(values.lines, np.int64)
        rejected = [*values.rejected, *(replace(one, line=values.lines[one.line]) for one in block.rejected)]
        return replace(
            block,
            lines=numbers[block.lines],
            rejected=tuple(sorted(rejected, key=lambda one: one.line)),
            taken=len(values.lines) + len(values.rejected),
        )


class _Values:
    """The values of an array that stand in a part of its text."""

    def __init__(self, *, line: int = 1, begun: bool = False, ended: bool = False) -> None:
        self.line, self.begun, self.ended = line, begun, ended
        self.is_broken = False  # the last value
        self.texts: list[str] = []
        self.lines: list[int] = []
        self.rejected: list[Rejected] = []

    def take(self, content: str, at: int, *, is_last: bool) -> int:
        """Take values from `at` on; returns where the first one begins that does not end here."""
        counted = 0
        while True:
            at = _skip(content, at)
            self.line += content.count("\n", counted, at)
            counted = at
            if at == len(content):
                if is_last and not self.ended and not self.is_broken:
                    self._reject("", CUT_OFF)
                return at
            if self.ended and content[at] == "[":  # another array, as of files put together
                self.ended, at = False, at + 1
                continue
            if self.ended:
                self._reject(content[at:], "text after the end of the array")
                return self._to(content, counted, len(content))
            if content[at] == "]":
                self.ended, at = True, at + 1
                continue
            try:
                _, end = _decode(content, at)
            except (ValueError, RecursionError) as error:
                if not is_last and len(content) - at < LONGEST_LINE:
                    return at
                reason = "nested too deep" if isinstance(error, RecursionError) else str(error)[:100]
                self._reject(content[at : at + 4000], f"not JSON ({reason})")
                self.is_broken = True
                found = _NEXT.search(content, at + 1)
                at = found.end() if found else len(content)
                continue
            if end == len(content) and not is_last:
                return at
            self.is_broken = False
            self.texts.append(content[at:end].replace("\n", " ") + "\n")
            self.lines.append(self.line)
            at = end

    def _reject(self, raw: str, reason: str) -> None:
        self.rejected.append(Rejected(self.line, plain_raw(raw.encode("utf-8", "surrogateescape")), reason))

    def _to(self, content: str, counted: int, at: int) -> int:
        self.line += content.count("\n", counted, at)
        return at


def _skip(content: str, at: int) -> int:
    found = _BETWEEN.match(content, at)
    return found.end() if found else at
