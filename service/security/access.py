"""Access: what the key of one request lets it do, and how much of its rate limit that takes."""

from dataclasses import dataclass
from math import ceil
from typing import Final

from service.errors import ForbiddenError, RateLimitedError
from service.security.api_keys import Caller, Scope
from service.security.rate_limits import RateLimits, Verdict

INCLUDED: Final[dict[str, Scope]] = {"histories": "users"}
"""Scope -> a wider one that opens what it opens: who may erase a user may read what is erased."""


@dataclass(slots=True)
class Access:
    """The key of one request, looked at.

    Attributes:
        request_id: of the request.
        caller: who asks.
        limits: where the caller's requests are counted.
        verdict: what the limit last said; None where there is none.
    """

    request_id: str
    caller: Caller
    limits: RateLimits
    verdict: Verdict | None = None

    def opens(self, scope: Scope) -> bool:
        """Whether the key opens doors with this scope."""
        return scope in self.caller.scopes or INCLUDED.get(scope) in self.caller.scopes

    def demand(self, scope: Scope, what: str = "") -> None:
        """Go on only where the key has a scope; `what` is what needs it.

        Raises:
            ForbiddenError: it has not.
        """
        if not self.opens(scope):
            raise ForbiddenError(scope, what)

    async def pay(self, work: float) -> None:
        """Count a request by the work that it makes, in plain requests; as one it was counted when it came.

        Raises:
            RateLimitedError: the limit has no room for so many; one that costs more than all of it fits an empty one.
        """
        if self.verdict is None or work <= 1:
            return
        more = min(ceil(work), self.verdict.amount) - 1
        verdict = await self.limits.check(self.caller.name, self.caller.rate_limit, more) if more else None
        if verdict is None:
            return
        self.verdict = verdict
        if not verdict.is_allowed:
            raise RateLimitedError(verdict.amount, verdict.window_seconds, verdict.reset_seconds, more + 1)
