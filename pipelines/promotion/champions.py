"""Champions: which versions of a registered model were champion, one after the other, and the way back.

The registered model's tag `champions` holds the versions from the first to the present one, those left out that a
rollback went back behind. Where it and the alias differ, because somebody moved the alias otherwise or a process was
killed between the two, the alias counts.
"""

import getpass
import json
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.artifacts import mlflow_registry
from pipelines.artifacts.mlflow_registry import CHAMPION, Promotion, aliases_of, check_bundle, tags_of
from recsys_vae.errors import BusyError, ConfigError
from recsys_vae.home import home
from recsys_vae.locks import exclusive
from recsys_vae.storage import storing
from recsys_vae.tracking_store import check_model_name
from recsys_vae.training.tracking import answering, connect

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPIONS, ROLLED_BACK = "champions", "rolled_back"
"""Tags: of the registered model; of versions that a rollback went back behind."""
MOST_KEPT = 100
LONGEST_TAG = 1000
"""Characters of a reason that a tag holds; the decision's file has the rest."""


@dataclass(frozen=True)
class Rollback:
    """What `roll_back` did, or would do.

    Attributes:
        name: registered model.
        version: champion now.
        previous: champion before.
        bundle: version of the bundle that it holds.
    """

    name: str
    version: str
    previous: str
    bundle: str


def decisions_folder(name: str) -> Path:
    """Where pages of a registered model's decisions lie.

    Raises:
        ConfigError: no model can have that name.
    """
    check_model_name(name)
    return home() / "decisions" / name


@contextmanager
def deciding(name: str) -> Iterator[None]:
    """One process of this machine at a time decides on a model.

    Raises:
        BusyError: another one does.
    """
    folder = decisions_folder(name)
    with storing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(folder):
        yield


def champions(client: "MlflowClient", name: str) -> list[str]:
    """Versions that were champion and exist still, the present one last; empty where there is none.

    Raises:
        UnknownNameError: there is no such model.
        UnavailableError: the store does not answer.
    """
    with answering():
        present = aliases_of(client, name).get(CHAMPION)
        kept = client.get_registered_model(name).tags.get(CHAMPIONS, "[]")
        existing = {str(found.version) for found in client.search_model_versions(f"name='{name}'")}
    if present is None:
        return []
    try:
        former = [str(version) for version in json.loads(kept) if str(version) in existing]
    except (ValueError, TypeError):
        former = []
    return [*former[: former.index(present)], present] if present in former else [*former, present]


def crown(client: "MlflowClient", name: str, version: str, *, instead_of: str | None) -> Promotion:
    """Make a version the champion, and remember which one it followed.

    Args:
        instead_of: the champion that it was compared with.

    Raises:
        BusyError: somebody else has promoted meanwhile.
        BundleError: the bundle of that version is gone.
    """
    line = champions(client, name)
    if (line[-1] if line else None) != instead_of:
        raise BusyError(
            f"While version {version} of {name} was compared with {instead_of or 'popularity'}, version {line[-1:]} "
            "became champion. Nothing was changed; promote again."
        )
    done = mlflow_registry.promote(name, version)
    _keep(client, name, [*(one for one in line if one != version), version])
    with answering():
        if ROLLED_BACK in tags_of(client, name, version):
            client.delete_model_version_tag(name, version, ROLLED_BACK)
    return done


def roll_back(name: str, version: str | None = None, *, reason: str = "", dry_run: bool = False) -> Rollback:
    """Make a former champion the champion again, the one before the present one by default; nothing is measured.

    Versions that were champion after it are marked, so that `recsys promote` does not bring them back by itself.

    Raises:
        ConfigError: there is no former champion, or that version is none.
        BusyError: another process decides on this model.
        BundleError: its bundle is gone.
        UnknownNameError: there is no such model.
    """
    if dry_run:
        return _roll_back(name, version, reason, dry_run=True)
    with deciding(name):
        return _roll_back(name, version, reason, dry_run=False)


def _roll_back(name: str, version: str | None, reason: str, *, dry_run: bool) -> Rollback:
    client = connect()
    line = champions(client, name)
    former = line[:-1]
    if not former:
        raise ConfigError(
            f"{name} has no former champion to go back to. recsys promote {name} --version V compares one."
        )
    target = version or former[-1]
    if target not in former:
        raise ConfigError(
            f"Version {target} of {name} is no former champion; those are {', '.join(former)}. "
            f"recsys promote {name} --version {target} compares it with the champion."
        )
    with answering():
        bundle = tags_of(client, name, target).get("bundle", "unknown")
        check_bundle(client, name, target)
    if not dry_run:
        _go_back(client, name, line, target, reason)
    return Rollback(name, target, line[-1], bundle)


def _go_back(client: "MlflowClient", name: str, line: list[str], target: str, reason: str) -> None:
    mlflow_registry.promote(name, target)
    place = line.index(target)
    _keep(client, name, line[: place + 1])
    told = f"{datetime.now(UTC).isoformat(timespec='seconds')} by {who()}" + (f": {reason}" if reason else "")
    with answering():
        for later in line[place + 1 :]:
            client.set_model_version_tag(name, later, ROLLED_BACK, told[:LONGEST_TAG])


def who() -> str:
    """The user and machine that decide, as USER@HOST."""
    user = "unknown"
    with suppress(OSError, KeyError, ImportError):  # a container may run under a user id without a name
        user = getpass.getuser()
    return f"{user}@{platform.node() or 'unknown'}"


def _keep(client: "MlflowClient", name: str, line: list[str]) -> None:
    with answering():
        client.set_registered_model_tag(name, CHAMPIONS, json.dumps(line[-MOST_KEPT:]))
