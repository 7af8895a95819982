"""Rate limits: how often one caller may ask. Counted in memory for one worker, in Redis for several.

The window slides, exactly: no `seconds`, wherever they begin, hold more than `amount`. In memory that is `sliding_log`,
in Redis a list with the time of each request that counts. Redis down does not stop the service: requests are then
served uncounted, and the metric `recsys_rate_limit_unchecked_total` says so.
"""

import asyncio
import logging
import math
import re
from dataclasses import dataclass
from functools import cache
from time import monotonic, time
from typing import TYPE_CHECKING, Any

from limits import RateLimitItem, parse
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter

from recsys_vae.errors import ConfigError
from service.observability.metrics import Metrics
from service.security.sliding_log import Count, SlidingLogs

if TYPE_CHECKING:
    from redis.asyncio import ConnectionPool

RATE = re.compile(r"[1-9][0-9]{0,8}/([1-9][0-9]{0,4})?(second|minute|hour|day)")
REDIS_SECONDS = 0.25
"""How long Redis is waited for, where nothing else is said."""
REST_SECONDS = 1.0
"""How long Redis is left alone after it did not answer: its wait is paid once a second, not once a request."""
PREFIX = "recsys-limits"

logger = logging.getLogger("recsys.service")


@dataclass(frozen=True)
class Verdict:
    """What the limit says about one request.

    Attributes:
        is_allowed: whether it is served.
        amount: requests allowed in a window.
        window_seconds: its length.
        remaining: requests left now.
        reset_seconds: until there is room again, at least 1.
    """

    is_allowed: bool
    amount: int
    window_seconds: int
    remaining: int
    reset_seconds: int

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """`RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers), and `Retry-After` if refused."""
        found = [
            (b"ratelimit-policy", f'"key";q={self.amount};w={self.window_seconds}'.encode()),
            (b"ratelimit", f'"key";r={self.remaining};t={self.reset_seconds}'.encode()),
        ]
        return found if self.is_allowed else [*found, (b"retry-after", str(self.reset_seconds).encode())]


@cache
def parse_rate(text: str) -> RateLimitItem:
    """A rate such as `100/second`, `600/minute` or `50/10second`.

    Raises:
        ConfigError: it is none.
    """
    if not RATE.fullmatch(text):
        raise ConfigError(f"{text!r} is no rate. Expected one such as 100/second, 600/minute or 50/10second.")
    return parse(text)


def check_limits(rate: str | None, redis_url: str | None) -> None:
    """See that a rate and the address of a Redis are such; nothing connects.

    Raises:
        ConfigError: one is malformed, or the client of Redis is not installed.
    """
    if rate is not None:
        parse_rate(rate)
    if redis_url is not None:
        _pool(redis_url)


class RateLimits:
    """Counts the requests of every caller.

    Args:
        rate: of callers that have none of their own; None: no limit.
        redis_url: where several workers count together; None: in this process.
        metrics: told of what was not counted.
        redis_seconds: how long Redis is waited for.

    Raises:
        ConfigError: the rate or the URL is malformed.
    """

    def __init__(
        self, rate: str | None, redis_url: str | None, metrics: Metrics, redis_seconds: float = REDIS_SECONDS
    ) -> None:
        check_limits(rate, redis_url)
        self._default = rate
        self._metrics = metrics
        self._redis_seconds = redis_seconds
        self._pool = None if redis_url is None else _pool(redis_url, redis_seconds)
        self._logs = SlidingLogs()
        self._limiter: MovingWindowRateLimiter | None = None
        self._ask_again_at = 0.0

    def apply_to(self, own_rate: str | None) -> bool:
        """Whether requests of a caller with this rate of its own, or none, are counted."""
        return (own_rate or self._default) is not None

    async def check(self, name: str, own_rate: str | None = None, weight: int = 1) -> Verdict | None:
        """Count a caller's request, as `weight` of them, and say whether it may pass; None where no limit applies or
        Redis is down.
        """  # fmt: skip
        chosen = own_rate or self._default
        if chosen is None:
            return None
        rate = parse_rate(chosen)
        if self._pool is None:
            return _verdict(rate, weight, self._logs.ask(name, rate.amount, rate.get_expiry(), weight))
        if monotonic() < self._ask_again_at:
            self._metrics.count_unchecked_request()
            return None
        try:
            async with asyncio.timeout(self._redis_seconds):
                return _verdict(rate, weight, await self._ask(self._pool, rate, name, weight))
        except Exception as error:
            # Of redis, of sockets, of asyncio: they have no class in common, and none may stop an answer.
            self._rest(error)
            return None

    async def close(self) -> None:
        """Let the connections to Redis go."""
        if self._pool is not None:
            await self._pool.disconnect()

    async def _ask(self, pool: "ConnectionPool", rate: RateLimitItem, name: str, weight: int) -> Count:
        if self._limiter is None:  # made with the first request: it belongs to the event loop that it is made in
            self._limiter = MovingWindowRateLimiter(_redis(pool))
        is_granted = await self._limiter.hit(rate, name, cost=weight)
        window = await self._limiter.get_window_stats(rate, name)
        return Count(is_granted, window.remaining, window.reset_time - time())

    def _rest(self, error: Exception) -> None:
        self._ask_again_at = monotonic() + REST_SECONDS
        self._metrics.count_unchecked_request()
        logger.warning("Redis does not count requests (%s): they are served without a limit.", type(error).__name__)


def _verdict(rate: RateLimitItem, weight: int, count: Count) -> Verdict:
    # One that counts as several may be too many where there is still room for others.
    remaining = max(0, count.remaining) if count.is_granted or weight > 1 else 0
    reset = max(1, math.ceil(count.reset_seconds))
    return Verdict(count.is_granted, rate.amount, rate.get_expiry(), remaining, reset)


def _pool(url: str, seconds: float = REDIS_SECONDS) -> "ConnectionPool":
    try:
        from redis.asyncio import ConnectionPool
    except ImportError as error:
        raise ConfigError("Rate limits in Redis need its client: pip install 'recsys-vae[redis]'.") from error
    try:
        return ConnectionPool.from_url(url, socket_timeout=seconds, socket_connect_timeout=seconds)
    except ValueError as error:
        # What redis says would hold the URL, and that may hold a password.
        raise ConfigError("RECSYS_RATE_LIMIT_STORE is no URL of Redis, such as redis://host:6379/0.") from error


def _redis(pool: "ConnectionPool") -> RedisStorage:
    options: dict[str, Any] = {"connection_pool": pool}  # which its type of options does not foresee
    return RedisStorage("async+redis://", implementation="redispy", key_prefix=PREFIX, **options)
