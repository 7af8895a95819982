"""Steps that hand the model on: lists for all users, services that take it over, and what is removed."""

import json
import os
from collections.abc import Mapping
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from pipelines.retraining.config import Options, as_arguments
from pipelines.retraining.run import Result, Run, Skip, Work
from recsys_vae.errors import UnavailableError

PATIENCE = 30.0
"""Seconds that a service gets to answer, beyond those that it is told to wait for its replicas."""
OF_STORE = ("events_older_than", "impressions_older_than", "actions_older_than")
"""Limits under [clean] that are the event store's."""


class Recommend:
    """Lists for all users."""

    name = "recommend"

    def prepare(self, run: Run) -> Work | Skip:
        """By the bundle that is champion now."""
        if run.config.recommend is None:
            return Skip("the settings have no table [recommend]")
        options = {"to": str(run.folder / "lists.parquet")} | run.config.recommend
        return Work(command=("recommend", str(run.facts["shipped"]), run.config.name, *as_arguments(options)))

    def conclude(self, run: Run, status: int, told: str) -> Result:
        """What was said of them."""
        return Result({"written": told.strip().splitlines()[-1] if told.strip() else ""})


class TellServices:
    """The services load what was promoted; those that poll the alias follow without being told."""

    name = "services"

    def prepare(self, run: Run) -> Work | Skip:
        """One request a service."""
        services = run.config.services
        if not services.urls:
            return Skip("no service is named under [services]; those that follow the alias follow by themselves")
        return Work(act=lambda: self._tell(run), depends_on={"version": run.facts.get("promoted")})

    def conclude(self, run: Run, status: int, told: str) -> Result:
        """Nothing more."""
        return Result()

    def _tell(self, run: Run) -> Mapping[str, Any]:
        services = run.config.services
        return {url: reload(url, os.environ.get(services.key_variable), services.wait) for url in services.urls}


class Clean:
    """What is past its limits is removed."""

    name = "clean"

    def prepare(self, run: Run) -> Work | Skip:
        """By the limits of the settings."""
        if run.config.clean is None:
            return Skip("the settings have no table [clean]: everything is kept")
        options = as_arguments(limits_of(run.config.clean, of_store=False))
        return Work(command=("clean", run.config.name, *options), depends_on={"run": run.journal.run})

    def conclude(self, run: Run, status: int, told: str) -> Result:
        """What was said of it."""
        return Result({"removed": _last_line(told)})


class CleanEvents:
    """What is past its limits is removed from the event store."""

    name = "clean-events"

    def prepare(self, run: Run) -> Work | Skip:
        """By the limits of the settings that are the store's."""
        limits = limits_of(run.config.clean or {}, of_store=True)
        if not limits:
            return Skip(f"[clean] names none of {', '.join(OF_STORE)}: the store keeps everything")
        return Work(command=("clean-events", *as_arguments(limits)), depends_on={"run": run.journal.run})

    def conclude(self, run: Run, status: int, told: str) -> Result:
        """What was said of it."""
        return Result({"removed": _last_line(told)})


def limits_of(options: Options, *, of_store: bool) -> Options:
    """Options of the table [clean]: those of `recsys clean-events`, or those of `recsys clean`."""
    return {name: value for name, value in options.items() if (name in OF_STORE) is of_store}


def _last_line(told: str) -> str:
    return told.strip().splitlines()[-1].partition(": ")[2] if told.strip() else ""


def reload(url: str, key: str | None, wait: float) -> str:
    """Have a service load what its settings name, and wait until its replicas follow; say what it answers with.

    Args:
        key: with the scope `admin`; None for a service without keys.
        wait: seconds.

    Raises:
        UnavailableError: it does not answer, refuses, or its replicas do not follow in time.
    """
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    request = Request(f"{url.rstrip('/')}/v1/admin/reload?wait={wait:g}", b"{}", headers, method="POST")
    try:
        with urlopen(request, timeout=wait + PATIENCE) as answer:
            found = json.load(answer)
    except HTTPError as error:
        detail = error.read().decode(errors="replace")[:500]
        raise UnavailableError(f"{url} does not take the new model over: {error.code} {detail}") from error
    except (URLError, OSError, ValueError) as error:
        raise UnavailableError(f"{url} does not answer: {error}. Is the service running there?") from error
    if found.get("behind"):
        raise UnavailableError(
            f"{url}: {found['behind']} of {found['replicas']} replicas do not answer with the new model after "
            f"{wait:g} s. The others do; run the job again once they are back, or raise `wait` under [services]."
        )
    return ", ".join(variant["model_version"] for variant in found["variants"])
