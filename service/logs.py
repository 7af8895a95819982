"""Logs: one line a request and one an incident, as JSON, or readable where a person sits at the terminal.

A line names a route and never an address, a body or a header: no key and, unless `log_paths` asks for addresses, no
id of a user or an item.
"""

import logging
import os
import sys
from typing import Any, Final, TextIO

import structlog
from starlette.types import Scope
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor, WrappedLogger

from service.middleware import Log, route_of
from service.records import CURRENT, RequestRecord
from service.settings import Settings

REQUESTS: Final = "recsys.requests"
# Without the values of variables: they hold what users sent.
TRACEBACKS: Final = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure(settings: Settings, stream: TextIO | None = None) -> None:
    """From now on, everything that is logged in this process goes to `stream` (standard error), a line each."""
    stream = stream or sys.stderr
    is_console = settings.log_format == "console" or (settings.log_format == "auto" and stream.isatty())
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_request,
    ]
    last: list[Processor] = (
        [structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback)]
        if is_console
        else [_add_process, TRACEBACKS, structlog.processors.JSONRenderer()]
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
        )
    )
    logging.captureWarnings(True)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[settings.log_level])
    for noisy in ("uvicorn", "uvicorn.error", "alembic", "httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(max(LEVELS[settings.log_level], logging.WARNING))
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def request_log(settings: Settings) -> Log:
    """What writes the line of a request; it writes none where the settings want none."""
    logger = structlog.stdlib.get_logger(REQUESTS)
    plain = logging.getLogger(REQUESTS)

    def write(scope: Scope, record: RequestRecord, status: int, seconds: float) -> None:
        level = _level(scope, status)
        if not plain.isEnabledFor(level):
            return
        fields = _fields(scope, record, status, seconds)
        if settings.log_paths:
            fields["path"] = scope["path"]
        logger.log(level, "request", **fields)

    def write_nothing(scope: Scope, record: RequestRecord, status: int, seconds: float) -> None:
        pass

    return write if settings.access_log else write_nothing


def _level(scope: Scope, status: int) -> int:
    if status >= 500 and status != 503:
        return logging.ERROR
    # Whoever watches the service asks every few seconds.
    return logging.DEBUG if status == 200 and scope["path"].startswith("/health/") else logging.INFO


def _fields(scope: Scope, record: RequestRecord, status: int, seconds: float) -> dict[str, Any]:
    found: dict[str, Any] = {
        "request_id": record.request_id,
        "method": scope["method"],
        "route": route_of(scope),
        "status": status,
        "milliseconds": round(1000 * seconds, 3),
    }
    more = {"key": record.caller, "tier": record.tier, "refusal": record.refusal, "trace_id": record.trace_id}
    return found | {name: value for name, value in more.items() if value}


def _add_request(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    if record := CURRENT.get():
        event.setdefault("request_id", record.request_id)
    return event


def _add_process(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    event["process"] = os.getpid()
    return event
