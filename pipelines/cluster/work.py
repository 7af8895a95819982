"""Work on a cluster: calls of functions of ours, each a task of Ray, whose results come in the order of the calls.

A function that goes there is a plain one of a module. It computes from its arguments and from files that all nodes see,
and writes files whole, under names that only it uses: so it may be called again when its worker or node dies, and Ray
does that. What it raises on purpose is raised here.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import recsys_vae.errors as known_errors
from pipelines.cluster.connection import Cluster
from pipelines.cluster.versions import check_expected, versions
from pipelines.cluster.waiting import wait_for_any
from recsys_vae.errors import RecsysError, UnavailableError, in_a_line
from recsys_vae.storage import refusal

T = TypeVar("T")

RETRIES: Final = 30
"""How often a call is made again whose worker or node has died."""
AHEAD: Final = 2
"""Calls under way or done for each processor, beyond what has been taken: results wait in memory."""
FAN_IN: Final = 8
"""Results that one call joins."""


class Raised(NamedTuple):
    """An error that was raised on purpose: many of them cannot be pickled."""

    kind: str
    message: str

    @classmethod
    def of(cls, error: RecsysError) -> "Raised":
        """What can be sent of it."""
        return cls(type(error).__name__, str(error))

    def error(self) -> RecsysError:
        """The same as if it had been raised here."""
        kind = getattr(known_errors, self.kind, RecsysError)
        error: RecsysError = kind.__new__(kind)
        error.args = (self.message,)
        return error


def carry_out(expected: Mapping[str, str], function: Callable[..., Any], *arguments: Any) -> Any:
    """A call, on a worker that is as it is expected: nodes may have joined after the first ones were asked."""
    try:
        check_expected(expected)
        return function(*arguments)
    except RecsysError as error:
        return Raised.of(error)
    except Exception as error:
        refused = refusal(error)
        if refused is None:
            raise
        return Raised.of(refused)


def call_all(
    cluster: Cluster, function: Callable[..., T], calls: Iterable[Sequence[Any]], *, cpus: float = 1
) -> Iterator[T]:
    """Results of calls, in the order of their arguments; a few are ahead of what has been taken.

    Raises:
        RecsysError: what a call raised on purpose.
        UnavailableError: a call was begun again and again, and its worker died each time.
    """
    begun: deque[Any] = deque()
    most = max(1, AHEAD * cluster.cpus)
    task = _task(cpus)
    for arguments in calls:
        begun.append(task.remote(versions(), function, *arguments))
        if len(begun) >= most:
            yield result(begun.popleft())
    while begun:
        yield result(begun.popleft())


def begin(function: Callable[..., Any], *arguments: Any, cpus: float = 1) -> Any:
    """Begin a call; `result` waits for it, and it may itself be an argument of another one."""
    return _task(cpus).remote(versions(), function, *arguments)


def share(value: Any) -> Any:
    """A value that many calls take, sent to each node once."""
    import ray

    return ray.put(value)


def result(reference: Any) -> Any:
    """What a call gave; raises what it has raised."""
    import ray

    try:
        found = ray.get(wait_for_any([reference]))
    except ray.exceptions.RayTaskError as error:
        raise error.as_instanceof_cause() from None  # type: ignore[no-untyped-call]
    except ray.exceptions.RayError as error:
        raise UnavailableError(
            f"Work on the cluster was lost {RETRIES} times over: {type(error).__name__}: {in_a_line(error)[:300]} Look "
            "into the logs of its nodes; where workers lack memory, offer fewer processors a node (ray start "
            "--num-cpus)."
        ) from error
    if isinstance(found, Raised):
        raise found.error()
    return found


def joined(join: Callable[[list[T]], T], parts: Sequence[Any]) -> T:
    """Results of calls, put together by calls of `join`, up a tree in which the order is kept.

    Args:
        join: makes one of several; must not depend on how they are grouped.
        parts: references, as `begin` gives them; at least one.
    """
    while len(parts) > 1:
        groups = [parts[start : start + FAN_IN] for start in range(0, len(parts), FAN_IN)]
        parts = [begin(_join, join, *group) if len(group) > 1 else group[0] for group in groups]
    found: T = result(parts[0])
    return found


def _join(join: Callable[[list[Any]], Any], *parts: Any) -> Any:
    for part in parts:
        if isinstance(part, Raised):
            return part
    return join(list(parts))


def _task(cpus: float) -> Any:
    import ray

    return ray.remote(num_cpus=cpus, max_retries=RETRIES)(carry_out)
