"""Redaction: what people read holds no secret, whoever wrote the text: an error of ours, a library's, a log line.

Two ways together. Shapes: the password in an address, as in `postgresql://me:secret@host`, and values of names such as
`token=` or `X-Amz-Signature=`. And the secrets themselves: what environment variables of such names hold, and the
passwords in addresses that they hold, wherever these stand in a text.
"""

import logging
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from types import TracebackType
from typing import Any, Final
from urllib.parse import quote, unquote

HIDDEN: Final = "***"
SECRET_NAME: Final = r"(?:password|passwd|pwd|secret|token|signature|credential|accountkey|accesskeyid|apikey)"
PASSWORD: Final = re.compile(r"(?<=://)([^\s/?#:@'\"]*):[^\s/?#'\"]+@")
NAMED_VALUE: Final = re.compile(rf"((?:\b|[-_])(?:{SECRET_NAME}|(?<=[?&;])sig)=)[^\s&;'\"#]+", re.IGNORECASE)
SECRET_VARIABLE: Final = re.compile(r"(?:PASSWORD|PASSWD|SECRET|TOKEN|ACCESS_KEY|API_KEY)$", re.IGNORECASE)
SHORTEST: Final = 8
"""Characters of a secret below which it is not searched for: `recsys` would be found where it means something else."""


def redacted(text: str) -> str:
    """A text without the secrets in it."""
    for secret in _secrets(tuple(os.environ.items())):
        if secret in text:
            text = re.sub(rf"{_edge(secret[0], '<!')}{re.escape(secret)}{_edge(secret[-1], '!')}", HIDDEN, text)
    text = PASSWORD.sub(rf"\1:{HIDDEN}@", text)
    return NAMED_VALUE.sub(rf"\1{HIDDEN}", text)


def redact_logs() -> None:
    """From now on, no record of Python's logging holds a secret, nor does a traceback that ends the process."""
    make = logging.getLogRecordFactory()
    if getattr(make, "redacts", False):
        return

    def record_of(*arguments: Any, **options: Any) -> logging.LogRecord:
        record = make(*arguments, **options)
        with suppress(Exception):  # a message that does not go with its arguments is told by logging itself
            message = record.getMessage()
            shown = redacted(message)
            if shown != message:
                record.msg, record.args = shown, ()
        return record

    record_of.redacts = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(record_of)
    sys.excepthook = _show


def _show(kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
    sys.stderr.write(redacted("".join(traceback.format_exception(kind, error, at))))


def _edge(sign: str, look: str) -> str:
    """That no word goes on there."""
    return rf"(?{look}\w)" if re.match(r"\w", sign) else ""


@lru_cache(maxsize=1)
def _secrets(environment: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """What an environment keeps secret, the longest first. It hardly ever changes, and every error message asks."""
    found = {secret for name, value in environment for secret in _secrets_of(name, value)}
    return tuple(sorted((secret for secret in found if len(secret) >= SHORTEST), key=len, reverse=True))


def _secrets_of(name: str, value: str) -> Iterator[str]:
    """What a variable holds that nobody is to see, as it stands there and as addresses spell it."""
    if SECRET_VARIABLE.search(name):
        yield from (value, quote(value, safe=""))
    _, is_address, rest = value.partition("://")
    if is_address and "@" in rest:
        password = rest.rpartition("@")[0].partition(":")[2]
        yield from (password, unquote(password))
