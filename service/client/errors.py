"""What can go wrong between a client and the service, and how soon it is tried again."""

import random
from dataclasses import dataclass

from recsys_vae.errors import RecsysError
from service.schemas.common import Problem


class ServiceError(RecsysError):
    """A request that was not answered as asked.

    Attributes:
        status: of the answer; None where there was none.
        problem: what the service says about it (RFC 9457); None where something else answered, or nothing.
        request_id: under which the service's log has it.
        retry_after: seconds after which the service wants to be asked again; None where it does not say.
        is_passing: whether the same request may succeed later.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        problem: Problem | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        is_passing: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.problem = problem
        self.request_id = request_id
        self.retry_after = retry_after
        self.is_passing = is_passing


@dataclass(frozen=True)
class Retries:
    """How often, and how soon, a failed request is sent again.

    Before attempt n + 1 it waits a random time up to `base_seconds` * 2^(n - 1), at most `cap_seconds`: clients that
    failed together do not come back together. What the service asks for in Retry-After comes before that wait.

    Attributes:
        attempts: how often a request is sent at most; 1 for never again.
        base_seconds: longest wait after the first attempt.
        cap_seconds: longest wait after any attempt.
        patience_seconds: a service that asks for a longer wait than this is not asked again.
    """

    attempts: int = 4
    base_seconds: float = 0.1
    cap_seconds: float = 5.0
    patience_seconds: float = 30.0

    def wait(self, failure: ServiceError, attempt: int) -> float:
        """Seconds to wait after an attempt, counted from 1, that failed.

        Raises:
            ServiceError: the failure itself, where it is not worth another attempt.
        """
        asked = failure.retry_after or 0.0
        if not failure.is_passing or attempt >= self.attempts or asked > self.patience_seconds:
            raise failure
        return asked + random.uniform(0.0, min(self.cap_seconds, self.base_seconds * 2 ** (attempt - 1)))
