"""The record of the request under way: what its log line and its metrics say, gathered while it is answered."""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class RequestRecord:
    """One request.

    Attributes:
        request_id: its identity.
        caller: name of the key that asked.
        tier: of the fallback chain; `mixed` where one request got answers of several; empty where it got none.
        trace_id: of the trace that it belongs to; empty without tracing.
        refusal: why it was turned away, such as `no-key`; empty where it was not.
    """

    request_id: str
    caller: str = ""
    tier: str = ""
    refusal: str = ""
    trace_id: str = ""

    def note_tier(self, tier: str) -> None:
        """Tell that a list of this request was answered on a tier."""
        self.tier = tier if self.tier in ("", tier) else "mixed"


CURRENT: ContextVar[RequestRecord | None] = ContextVar("recsys_request", default=None)
"""Of the request that the running code works for, so that what runs deep inside can add to it."""
