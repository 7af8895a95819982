"""The errors of the service; `problems` says what callers are told of each."""

import logging
from collections.abc import Iterable

from recsys_vae.errors import ConfigError, RecsysError, UnavailableError
from service.schemas.common import Fault

logger = logging.getLogger("recsys.service")


class NotReadyError(UnavailableError):
    """No bundle is in service."""

    def __init__(self) -> None:
        super().__init__("No bundle is in service yet. Ask /health/ready, and try again when it answers 200.")


class BehindError(UnavailableError):
    """Something newer is in service than this replica has loaded."""

    def __init__(self, active: int, loaded: int) -> None:
        super().__init__(
            f"Generation {active} is in service, and this replica still answers with generation {loaded}. It loads the "
            "other; send requests elsewhere until /health/ready answers 200."
        )


class SourceUnavailableError(UnavailableError):
    """Where a bundle is to be taken from does not answer; the message is for whoever asked for the bundle."""


class ConflictError(RecsysError):
    """Something that cannot be done as things stand.

    Attributes:
        code: short name of the reason.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class OverloadedError(UnavailableError):
    """More requests wait than the engine takes on."""

    def __init__(self) -> None:
        super().__init__("More requests are waiting than can be answered in time. Try again later, and more slowly.")


class DeadlineError(UnavailableError):
    """A request was not answered in time."""

    def __init__(self) -> None:
        super().__init__("This request could not be answered in time. Try again later.")


class PagesUnavailableError(UnavailableError):
    """The process that makes pages does not answer."""

    def __init__(self) -> None:
        super().__init__(
            "The pages are made by a process of their own, which starts, or starts again, at this moment. Try again in "
            "a few seconds; the API answers meanwhile."
        )


class ForbiddenError(RecsysError):
    """A key that does not open this door.

    Attributes:
        scope: that does.
    """

    def __init__(self, scope: str, what: str = "") -> None:
        super().__init__(f"This key may not do that: it lacks the scope {scope!r}{f', which {what}' if what else ''}.")
        self.scope = scope


class RateLimitedError(RecsysError):
    """More requests, or more work, than the rate limit of a key leaves room for."""

    def __init__(self, amount: int, window_seconds: int, reset_seconds: int, weight: int = 1) -> None:
        counted = f", and this one counts as {weight}" if weight > 1 else ""
        super().__init__(
            f"This key may send {amount} requests in {window_seconds} s{counted}. Try again in {reset_seconds} s."
        )


class FieldError(ConfigError):
    """A field of a request that fits its schema but not the bundle in service.

    Attributes:
        fault: which field, and what is wrong with it.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}.")
        self.fault = Fault(field=field, message=message)


class CursorExpiredError(RecsysError):
    """A cursor whose list can no longer be continued."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"This cursor has expired: {reason}. Ask without a cursor for a new first page.")


class OutdatedError(RecsysError):
    """An item that is not any more as the caller has seen it."""

    def __init__(self, item_id: str, reason: str) -> None:
        super().__init__(f"Item {item_id!r} was changed meanwhile: {reason}. Read it again, and change that.")


class NotShownError(RecsysError):
    """No list is kept of a request."""

    def __init__(self, request_id: str) -> None:
        super().__init__(
            f"No list is kept of request {request_id!r}: none was shown, or written down (--exposures), it is past its "
            "retention, or its user was erased."
        )


class CannotReplayError(RecsysError):
    """A list that cannot be made again."""


class UnknownItemError(RecsysError):
    """An item that the catalogue does not hold."""

    def __init__(self, item_id: str) -> None:
        super().__init__(f"The catalogue holds no item {item_id!r}.")


class UnknownListError(RecsysError):
    """A list that the bundle in service does not have."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(
            f"The bundle in service has no list {name!r}; there are: {', '.join(known)}. The others need events with "
            "times, and a bundle that was trained by a version that counts them."
        )
