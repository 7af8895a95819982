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

Scope = Literal["recommend", "explain", "events", "items", "histories", "users", "admin", "metrics", "ui"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
PREFIX = "rsk_"
"""Begins every key made here, so that scanners of source code recognise one that was committed."""
SHORTEST = 32
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
HASH = re.compile(r"sha256:([0-9a-f]{64})")
EXPECTED = "NAME sha256:HASH SCOPE,SCOPE [LIMIT], as `recsys keys new` prints it"
LOOK_AGAIN_SECONDS = 0.5
"""How soon a change of the file is seen."""
LOOK_SOON_SECONDS = 0.1
"""The same while the file gives no key: it may be just now being written."""

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

    def opens(self, scope: Scope) -> bool:
        """Whether a key has a scope."""
        return any(scope in entry.caller.scopes for entry in self._entries)

    def find(self, key: bytes) -> Caller | None:
        """Who holds this key; None where nobody does. Takes as long for every key."""
        return self.holder(sha256(key).digest())

    def holder(self, digest: bytes) -> Caller | None:
        """Who holds the key with this digest; None where nobody does. Takes as long for every digest."""
        found = None
        for entry in self._entries:
            if compare_digest(entry.digest, digest):
                found = entry.caller
        return found


class WatchedKeys:
    """The keys of the settings; the file is read again twice a second, so that a key is revoked without a restart.

    Only what stands in the file opens something: a line that is gone or broken, or a file that is emptied, removed or
    not readable, opens nothing from then on. What is wrong is logged once.

    Raises:
        ConfigError: the file or the setting breaks its form, or holds no key.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._content = _content(settings.keys_file)
        self._ring = read_keys(settings)
        self._look_at = monotonic() + LOOK_AGAIN_SECONDS

    @property
    def are_asked_for(self) -> bool:
        """Whether callers need a key."""
        return has_keys(self._settings)

    def find(self, key: bytes) -> Caller | None:
        """Who holds this key; None where nobody does."""
        return self.holder(sha256(key).digest())

    def holder(self, digest: bytes) -> Caller | None:
        """Who holds the key with this digest; None where nobody does, or no longer."""
        if monotonic() >= self._look_at:
            self._look_again()
        return self._ring.holder(digest)

    def _look_again(self) -> None:
        path = self._settings.keys_file
        # The content and not its time or size: a file that was put back with `cp -p` is another one all the same.
        content = _content(path)
        if content != self._content:
            self._content = content
            entries, faults = _well_formed(self._settings)
            self._ring = KeyRing(entries)
            for fault in faults:
                logger.error("%s It opens nothing.", fault)
            logger.info("Read %d keys again from %s.", len(self._ring), path)
        self._look_at = monotonic() + (LOOK_AGAIN_SECONDS if len(self._ring) else LOOK_SOON_SECONDS)


def has_keys(settings: Settings) -> bool:
    """Whether the settings name keys, wherever they are."""
    return settings.keys is not None or settings.keys_file is not None


def read_keys(settings: Settings) -> KeyRing:
    """The keys of the settings and of the file that they name.

    Raises:
        ConfigError: a line breaks its form; the file cannot be read; keys are to be asked for and there are none.
    """
    entries = [parse_entry(line, place) for place, line in (*_set_lines(settings), *_file_lines(settings.keys_file))]
    if has_keys(settings) and not entries:
        raise ConfigError("Keys are to be asked for, and there are none. `recsys keys new --name NAME` makes one.")
    return KeyRing(entries)


def _well_formed(settings: Settings) -> tuple[list[KeyEntry], list[ConfigError]]:
    """The entries of all lines that hold one, and what is wrong with the others."""
    entries, faults = [], []
    lines = _set_lines(settings)
    try:
        lines += _file_lines(settings.keys_file)
    except ConfigError as fault:
        faults.append(fault)
    for place, line in lines:
        try:
            entries.append(parse_entry(line, place))
        except ConfigError as fault:
            faults.append(fault)
    return entries, faults


def _content(path: Path | None) -> bytes | None:
    try:
        return None if path is None else path.read_bytes()
    except OSError:
        return None


def _set_lines(settings: Settings) -> list[tuple[str, str]]:
    """Place and text of the entries in the settings."""
    return _filled("RECSYS_KEYS, entry", (settings.keys or "").split(";"))


def _file_lines(path: Path | None) -> list[tuple[str, str]]:
    """Place and text of the entries in the file.

    Raises:
        ConfigError: it cannot be read.
    """
    if path is None:
        return []
    try:
        return _filled(f"{path}, line", path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        cause = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ConfigError(f"The file of keys {path} cannot be read: {cause}.") from error


def _filled(place: str, lines: Iterable[str]) -> list[tuple[str, str]]:
    """Those that are neither blank nor a comment."""
    return [
        (f"{place} {number}", line)
        for number, line in enumerate(lines, start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]


def _check_rate(limit: str | None, place: str) -> None:
    if limit is not None:
        try:
            parse_rate(limit)
        except ConfigError as error:
            raise ConfigError(f"{place}: {error}") from error
