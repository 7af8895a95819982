"""Waiting for room on a cluster: after some seconds, and then again, people are told what is waited for and who has it.

Ray begins what was asked of it as soon as a processor is free, and says nothing until then.
"""

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

from recsys_vae.redaction import redacted

SOON: Final = 10.0
"""Seconds after which a wait is told of for the first time."""
AGAIN: Final = 60.0
"""Seconds between later times."""
LONGEST: Final = 80
"""Letters of a command line that are shown."""


def wait_until(is_over: Callable[[float], bool], wanted: Callable[[], str]) -> None:
    """Wait, and say on standard error what for.

    Args:
        is_over: waits up to so many seconds; whether the wait is over.
        wanted: what is waited for; empty where no room is.
    """
    patience = SOON
    while not is_over(patience):
        if what := wanted():
            print(f"note: waiting for {what}: {held()}", file=sys.stderr, flush=True)
        patience = AGAIN


def wait_for_any(references: Sequence[Any], wanted: str = "") -> Any:
    """The first of several results that is there.

    Args:
        wanted: what has no room yet; where that is not known, the wait is told of while no processor is free and others
            are at work there, or there is none at all.
    """
    import ray

    found: list[Any] = []

    def is_over(seconds: float) -> bool:
        found.extend(ray.wait(list(references), num_returns=1, timeout=seconds)[0])
        return bool(found)

    def is_crowded() -> bool:
        return _free(ray) < 1 and bool(_others(ray) or not _all(ray))

    wait_until(is_over, lambda: wanted or "a result" * is_crowded())
    return found[0]


def wait_for_room() -> None:
    """Wait for a processor that is free."""
    import ray

    if _free(ray) >= 1:
        return
    probe = ray.remote(num_cpus=1, max_retries=-1)(_is_there).remote()
    ray.get(wait_for_any([probe], "a processor"))


def held() -> str:
    """How many processors are free, and what else is on the cluster, as far as Ray says."""
    import ray

    others = _others(ray)
    return (
        f"{_free(ray):g} of the cluster's {_all(ray):g} processors are free"
        + (f"; others at work there: {others}" if others else "")
        + ". It goes on as soon as there is room; Ctrl-C gives up."
    )


def job_of(placement_group: str) -> str:
    """The job whose placement group that is: the last four bytes of its id."""
    return placement_group[-8:]


def _free(ray: Any) -> float:
    return float(ray.available_resources().get("CPU", 0))


def _all(ray: Any) -> float:
    return float(ray.cluster_resources().get("CPU", 0))


def _others(ray: Any) -> str:
    """Programs that use the cluster beside this one, with the actors and placement groups of each."""
    state, own = ray._private.state, ray.get_runtime_context().get_job_id()  # ray.util.state asks a dashboard
    living = Counter(one["JobID"] for one in state.actors().values() if one["State"] == "ALIVE")
    table = ray.util.placement_group_table()
    groups = Counter(job_of(name) for name, one in table.items() if one["state"] == "CREATED")
    return ", ".join(
        f"{redacted(job['Entrypoint'])[:LONGEST] or 'a program'} on {job['DriverIPAddress']} "
        f"({living[job['JobID']]} actors, {groups[job['JobID']]} placement groups)"
        for job in state.jobs()
        if not job["IsDead"] and job["JobID"] != own and not job["Entrypoint"].startswith("_ray_internal")
    )


def _is_there() -> bool:
    return True
