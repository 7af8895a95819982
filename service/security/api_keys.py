"""API keys: who may ask, and for what. Kept as SHA-256 only, so whoever reads the file of keys can't use one.

A key is 256 random bits, which nobody guesses: a fast hash is enough, and a slow one would make every request slow.
One line a key:

    # name   hash of the key        scopes             its own rate limit, optional
    shop     sha256:64 hex digits   recommend,events   600/minute
"""

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from secrets import token_urlsafe
from time import monotonic
from typing import Final, Literal, get_args

from recsys_vae.errors import ConfigError
from service.security.rate_limits import parse_rate
from service.settings import Settings

Scope = Literal["recommend", "explain", "events", "histories", "users", "admin", "metrics"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
PREFIX = "rsk_"
"""Begins every key made here, so that scanners of source code recognise one that was committed."""
SHORTEST = 32
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
HASH = re.compile(r"sha256:([0-9a-f]{64})")
EXPECTED = "NAME sha256:HASH SCOPE,SCOPE [LIMIT], as `recsys keys new` prints it"
LOOK_AGAIN_SECONDS = 1.0
"""How soon a change of the file is seen."""

logger = logging.getLogger("recsys.service")


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Attributes:
        name: for logs and metrics.
        scopes: what it may do.
        rate_limit: its own, such as `600/minute`; None for that of the settings.
    """

    name: str
    scopes: frozenset[str]
    rate_limit: str | None = None


ANYBODY = Caller("anybody", frozenset(SCOPES))
"""Who asks a service that has no keys; only this machine can."""


@dataclass(frozen=True)
class KeyEntry:
    """What is kept of a key."""

    caller: Caller
    digest: bytes

    def __str__(self) -> str:
        """The line to keep."""
        scopes = ",".join(scope for scope in SCOPES if scope in self.caller.scopes)
        limit = f" {self.caller.rate_limit}" if self.caller.rate_limit else ""
        return f"{self.caller.name} sha256:{self.digest.hex()} {scopes}{limit}"


def new_key() -> str:
    """A key that nobody has seen: 256 random bits."""
    return PREFIX + token_urlsafe(32)


def entry_of(key: str, name: str, scopes: Iterable[str], rate_limit: str | None = None) -> KeyEntry:
    """What to keep of a key.

    Raises:
        ConfigError: the key is short enough to be guessed, the name or a scope is not one.
    """
    if len(key) < SHORTEST or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(
            f"A key has at least {SHORTEST} printable ASCII characters and no space, so that nobody guesses it. "
            "`recsys keys new` makes one."
        )
    digest = sha256(key.encode()).hexdigest()
    return parse_entry(f"{name} sha256:{digest} {','.join(scopes)} {rate_limit or ''}", "The entry")


def parse_entry(line: str, place: str) -> KeyEntry:
    """The entry that a line holds; errors name its place and never what stands there.

    Raises:
        ConfigError: it holds none.
    """
    words = line.split()
    if not 3 <= len(words) <= 4:
        raise ConfigError(f"{place} has {len(words)} words, expected {EXPECTED}.")
    name, digest, scopes = words[0], HASH.fullmatch(words[1]), words[2].split(",")
    if not NAME.fullmatch(name):
        raise ConfigError(f"{place}: a name has at most 64 letters, digits, '.', '_' and '-'.")
    if digest is None:
        raise ConfigError(f"{place} ({name}): no hash of a key (sha256: and 64 hex digits). Expected {EXPECTED}.")
    if unknown := sorted(set(scopes) - set(SCOPES)):
        raise ConfigError(f"{place} ({name}): no scope {', '.join(map(repr, unknown))}. Known: {', '.join(SCOPES)}.")
    limit = words[3] if len(words) == 4 else None
    _check_rate(limit, f"{place} ({name})")
    return KeyEntry(Caller(name, frozenset(scopes), limit), bytes.fromhex(digest[1]))


class KeyRing:
    """The keys that open something.

    Args:
        entries: what is kept of them.
    """

    def __init__(self, entries: Iterable[KeyEntry]) -> None:
        self._entries = tuple(entries)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def has_limits(self) -> bool:
        """Whether a key has a rate limit of its own."""
        return any(entry.caller.rate_limit for entry in self._entries)

    def find(self, key: bytes) -> Caller | None:
        """Who holds this key; None where nobody does. Takes as long for every key."""
        digest, found = sha256(key).digest(), None
        for entry in self._entries:
            if compare_digest(entry.digest, digest):
                found = entry.caller
        return found


class WatchedKeys:
    """The keys of the settings; a changed file is read again, so that a key is revoked without a restart.

    Raises:
        ConfigError: the file or the setting breaks its form, or holds no key.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stamp = self._file_stamp()
        self._ring = read_keys(settings)
        self._look_at = monotonic() + LOOK_AGAIN_SECONDS

    @property
    def are_asked_for(self) -> bool:
        """Whether callers need a key."""
        return has_keys(self._settings)

    def find(self, key: bytes) -> Caller | None:
        """Who holds this key; None where nobody does."""
        if monotonic() >= self._look_at:
            self._look_again()
        return self._ring.find(key)

    def _look_again(self) -> None:
        self._look_at = monotonic() + LOOK_AGAIN_SECONDS
        stamp = self._file_stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._ring = read_keys(self._settings)
        except ConfigError as error:
            # A slip of the pen must not lock every caller out; it stays in the log until it is mended.
            logger.error("%s The keys that were read before go on being valid.", error)
        else:
            logger.info("Read %d keys again from %s.", len(self._ring), self._settings.keys_file)

    def _file_stamp(self) -> tuple[int, int, int] | None:
        if self._settings.keys_file is None:
            return None
        try:
            found = self._settings.keys_file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


def has_keys(settings: Settings) -> bool:
    """Whether the settings name keys, wherever they are."""
    return settings.keys is not None or settings.keys_file is not None


def read_keys(settings: Settings) -> KeyRing:
    """The keys of the settings and of the file that they name.

    Raises:
        ConfigError: a line breaks its form; the file cannot be read; keys are to be asked for and there are none.
    """
    lines = [("RECSYS_KEYS, entry", line) for line in (settings.keys or "").split(";")]
    entries = [*_parse(lines), *_parse(_lines_of(settings.keys_file))]
    if has_keys(settings) and not entries:
        raise ConfigError("Keys are to be asked for, and there are none. `recsys keys new --name NAME` makes one.")
    return KeyRing(entries)


def _lines_of(path: Path | None) -> list[tuple[str, str]]:
    if path is None:
        return []
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        cause = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ConfigError(f"The file of keys {path} cannot be read: {cause}.") from error
    return [(f"{path}, line", line) for line in text.splitlines()]


def _parse(lines: list[tuple[str, str]]) -> list[KeyEntry]:
    return [
        parse_entry(line, f"{place} {number}")
        for number, (place, line) in enumerate(lines, start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]


def _check_rate(limit: str | None, place: str) -> None:
    if limit is not None:
        try:
            parse_rate(limit)
        except ConfigError as error:
            raise ConfigError(f"{place}: {error}") from error
