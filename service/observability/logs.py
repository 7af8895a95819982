"""Logs: one line a request and one an incident, as JSON, or readable where a person sits at the terminal.

A line names a route and never an address, a body or a header: no key and, unless `log_paths` asks for addresses, no
id of a user or an item.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from time import time
from typing import Any, Final, TextIO

import structlog
from pydantic_core import to_json
from starlette.types import Scope
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor, WrappedLogger

from recsys_vae.redaction import redacted
from service.observability.request_context import CURRENT, RequestRecord
from service.observability.request_middleware import Log, route_of
from service.settings import Settings

REQUESTS: Final = "recsys.requests"
# Without the values of variables: they hold what users sent.
TRACEBACKS: Final = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
TIME: Final = structlog.processors.TimeStamper(fmt="iso", utc=True)
LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure(settings: Settings, stream: TextIO | None = None) -> None:
    """From now on, everything that is logged in this process goes to `stream` (standard error), a line each."""
    stream = stream or sys.stderr
    level = LEVELS[settings.log_level]
    last = _rendering(settings, stream)
    logging.captureWarnings(True)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_log_level, structlog.stdlib.add_logger_name, TIME, _add_request],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("uvicorn", "uvicorn.error", "alembic", "httpx", "httpcore", "faiss"):
        logging.getLogger(noisy).setLevel(max(level, logging.WARNING))
    # Lines of requests do not go through the standard library's logging: that costs as much as a whole request.
    structlog.configure(
        processors=[structlog.processors.add_log_level, TIME, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )


def _rendering(settings: Settings, stream: TextIO) -> list[Processor]:
    if settings.log_format == "console" or (settings.log_format == "auto" and stream.isatty()):
        words = structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback)
        return [words, _redact]
    return [_add_process, TRACEBACKS, structlog.processors.JSONRenderer(serializer=_as_redacted_json)]


def _as_json(event: EventDict, **_: object) -> str:
    return to_json(event, fallback=repr).decode()


def _as_redacted_json(event: EventDict, **_: object) -> str:
    return redacted(_as_json(event))


def _redact(logger: WrappedLogger, method: str, line: Any) -> str:
    return redacted(line)


def request_log(settings: Settings) -> Log:
    """What writes the line of a request; it writes none where the settings want none, or logging is not configured."""
    if not settings.access_log or not structlog.is_configured():
        return lambda scope, record, status, seconds: None
    lowest, paths = LEVELS[settings.log_level], settings.log_paths
    tell = _teller(structlog.get_config()["processors"])

    def write(scope: Scope, record: RequestRecord, status: int, seconds: float) -> None:
        level = _level(scope, status)
        if LEVELS[level] >= lowest:
            fields = _fields(scope, record, status, seconds)
            if paths:
                fields["path"] = scope["path"]
            tell(level, fields)

    return write


def _teller(processors: Sequence[Processor]) -> Callable[[str, dict[str, Any]], None]:
    """What writes fields as a line of some level.

    JSON is put together here, and what ends in one turn of the event loop is written at once: by way of structlog's
    processors, one after the other, a line costs a tenth of what an answer costs.
    """
    if not isinstance(processors[-1], structlog.processors.JSONRenderer):
        logger = structlog.get_logger()
        return lambda level, fields: getattr(logger, level)("request", **fields)
    lines, now = Lines(structlog.get_config()["logger_factory"]()), Clock()

    def tell(level: str, fields: dict[str, Any]) -> None:
        fields.update(event="request", level=level, timestamp=now(), process=os.getpid())
        lines.add(_as_json(fields))

    return tell


class Clock:
    """What time it is, as ISO 8601 in UTC; all but the microseconds is written once a second."""

    def __init__(self, seconds: Callable[[], float] = time) -> None:
        self._seconds = seconds
        self._second, self._written = -1, ""

    def __call__(self) -> str:
        """Now."""
        second, microseconds = divmod(int(self._seconds() * 1e6), 1_000_000)
        if second != self._second:
            self._second, self._written = second, datetime.fromtimestamp(second, UTC).isoformat()[: -len("+00:00")]
        return f"{self._written}.{microseconds:06d}Z"


class Lines:
    """Lines that are written together, before the event loop waits for anything again."""

    def __init__(self, writer: structlog.WriteLogger) -> None:
        self._writer = writer
        self._waiting: list[str] = []

    def add(self, line: str) -> None:
        """Have a line written."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._write)
        self._waiting.append(line)

    def _write(self) -> None:
        lines, self._waiting = self._waiting, []
        self._writer.msg("\n".join(lines))


def _level(scope: Scope, status: int) -> str:
    if status >= 500 and status != 503:
        return "error"
    if status == 200 and scope["path"].startswith("/health/"):  # whoever watches asks every few seconds
        return "debug"
    return "info"


def _fields(scope: Scope, record: RequestRecord, status: int, seconds: float) -> dict[str, Any]:
    found: dict[str, Any] = {
        "logger": REQUESTS,
        "request_id": record.request_id,
        "method": scope["method"],
        "route": route_of(scope),
        "status": status,
        "milliseconds": round(1000 * seconds, 3),
    }
    if record.caller:
        found["key"] = record.caller
    if record.tier:
        found["tier"] = record.tier
    if record.refusal:
        found["refusal"] = record.refusal
    if record.trace_id:
        found["trace_id"] = record.trace_id
    return found


def _add_request(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    if record := CURRENT.get():
        event.setdefault("request_id", record.request_id)
    return event


def _add_process(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    event["process"] = os.getpid()
    return event
