"""A connection with a Ray cluster, for as long as one command works: `--ray ADDRESS`, or the variable RECSYS_RAY.

`local` starts a cluster of this machine alone, which ends with the command. Any other address is that of a cluster that
runs: HOST:PORT of its head, or `auto` for one that a node of it, this machine, knows.

Ray's tokens are asked for everywhere: whoever reaches a cluster without them can run anything on it.
"""

import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from pipelines.cluster.versions import differences, versions
from pipelines.cluster.waiting import wait_for_room
from recsys_vae.errors import ConfigError, UnavailableError, first_line, in_a_line
from recsys_vae.extras import explained
from recsys_vae.termination import raise_terminated

LOCAL, AUTO = "local", "auto"
OBJECT_STORE: Final = 200 << 20
"""Bytes of a local cluster's object store. Rows go by way of files; objects are counts and names of files."""
PATIENCE: Final = 10.0
"""Seconds for a head to take a connection; Ray itself tries for two minutes."""
HANDED_ON: Final = ("RECSYS_HOME", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables of this process that workers have, too: figures depend on the number of threads in their last bits."""
_QUIET: Final = {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"}
"""What Ray reads as it is imported, where nothing else is said."""
_NO_TOKEN: Final = (
    "Set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to the token that its nodes were started with (`ray get-auth-token` on "
    "one of them prints it)."
)


@dataclass(frozen=True)
class Node:
    """A machine of the cluster that can take work: its id, its name for people, and how many processors it offers."""

    id: str
    name: str
    cpus: int


@dataclass(frozen=True)
class Cluster:
    """A cluster that this process is connected with."""

    address: str
    nodes: tuple[Node, ...]

    @property
    def cpus(self) -> int:
        """Processors of all nodes."""
        return sum(node.cpus for node in self.nodes)


@contextmanager
def connected(address: str, shared: Path | None = None) -> Iterator[Cluster]:
    """Connect this process with a cluster, once a processor of it is free; in the end a local one is gone.

    Args:
        address: `local`, `auto` or HOST:PORT.
        shared: a folder that is to be the same on every node.

    Raises:
        MissingExtraError: Ray is not installed.
        ConfigError: the address is none, or a node has other versions or does not see the folder.
        UnavailableError: no cluster answers there, or it refuses.
    """
    _check_address(address)
    ray = _imported()
    if ray.is_initialized():  # a command within one that is connected
        yield _of(ray, address)
        return
    was = signal.getsignal(signal.SIGTERM)
    try:
        _connect(ray, address)
        _take_signals_back(was)
        cluster = _of(ray, address)
        check_nodes(ray, cluster, shared)
        wait_for_room()
        yield cluster
    finally:
        ray.shutdown()
        _take_signals_back(was)


def environment() -> Mapping[str, str]:
    """Variables that workers get: a worker has one processor, and what it computes with takes no more threads."""
    handed_on = {name: os.environ[name] for name in HANDED_ON if name in os.environ}
    return {"POLARS_MAX_THREADS": "1", "RAY_AUTH_MODE": os.environ["RAY_AUTH_MODE"], **handed_on}


def check_nodes(ray: Any, cluster: Cluster, shared: Path | None) -> None:
    """Raise ConfigError where a node cannot do the work as this process would."""
    if not cluster.nodes:
        raise ConfigError(
            f"The cluster at {cluster.address} has no node with a processor to offer. Start one there: ray start "
            "--address=..."
        )
    mark = None if shared is None else shared / f".{uuid4().hex}.mark"
    try:
        if mark is not None:
            mark.touch()
        for node, found in zip(cluster.nodes, _ask(ray, cluster.nodes, mark), strict=True):
            _check_node(node, found, shared)
    finally:
        if mark is not None:
            mark.unlink(missing_ok=True)


def _check_node(node: Node, found: Mapping[str, Any], shared: Path | None) -> None:
    if "error" in found:
        raise ConfigError(
            f"Node {node.name} cannot load the product: {found['error']}. Install there what is installed here, with "
            "the extra ray."
        )
    if other := differences(versions(), found["versions"]):
        raise ConfigError(
            f"Node {node.name} has other versions, and its results might differ: {other}. Install there what is "
            "installed here."
        )
    if not found["sees"]:
        raise ConfigError(
            f"Node {node.name} does not see the folder {shared} of this machine. Put RECSYS_HOME, or the dataset, on "
            "storage that all nodes mount under the same path."
        )


def _ask(ray: Any, nodes: tuple[Node, ...], mark: Path | None) -> list[Mapping[str, Any]]:
    """What each node has."""

    # Within a function, so that it goes there by its code: where the product is missing, it cannot be found by name.
    def look(mark: str | None) -> Mapping[str, Any]:
        import os as worker_os

        try:
            from pipelines.cluster.versions import versions as worker_versions

            return {"versions": worker_versions(), "sees": mark is None or worker_os.path.exists(mark)}
        except ImportError as error:
            return {"error": str(error)}

    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task = ray.remote(num_cpus=0, max_retries=3)(look)
    there = [NodeAffinitySchedulingStrategy(node.id, soft=False) for node in nodes]
    asked = [task.options(scheduling_strategy=one).remote(None if mark is None else str(mark)) for one in there]
    found: list[Mapping[str, Any]] = ray.get(asked)
    return found


def _imported() -> Any:
    """Ray, imported once the variables are set that it reads then."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    with explained():
        import ray
    return ray


def _check_address(address: str) -> None:
    """Raise ConfigError where it is none, UnavailableError where nothing takes a connection there."""
    if address in (LOCAL, AUTO):
        return
    host, colon, port = address.rpartition(":")
    if "//" in address or not (host and colon and port.isdigit()):
        raise ConfigError(
            f"--ray {address!r} is no address of a cluster: expected local, auto, or HOST:PORT of its head, as in "
            "10.0.0.5:6379. Ray's client addresses (ray://) are not taken: start the command on a node of the cluster."
        )
    try:
        with socket.create_connection((host.strip("[]"), int(port)), PATIENCE):
            pass
    except (OSError, OverflowError) as error:
        raise UnavailableError(
            f"No Ray cluster takes a connection at {address}: {error}. Start its head there (ray start --head), or "
            "name another address; --ray local starts a cluster of this machine."
        ) from error


def _connect(ray: Any, address: str) -> None:
    of_cluster: dict[str, Any] = {"address": None if address == LOCAL else address}
    if address == LOCAL:
        os.environ.pop("RAY_ADDRESS", None)  # else Ray goes there
        of_cluster = {"address": LOCAL, "object_store_memory": OBJECT_STORE, "include_dashboard": False}
    try:
        ray.init(
            **of_cluster,
            log_to_driver=False,
            logging_level="ERROR",
            runtime_env={"env_vars": dict(environment())},
        )
    except ray.exceptions.AuthenticationError as error:
        raise UnavailableError(f"The Ray cluster at {address} asks for a token: {_NO_TOKEN}") from error
    except (ConnectionError, TimeoutError) as error:
        why = (
            "Start one (ray start --head), or name its address." if address == AUTO else
            f"It is another program's port, or the cluster has another token. {_NO_TOKEN}"
        )  # fmt: skip
        raise UnavailableError(f"No connection with a Ray cluster at {address}: {first_line(error)}. {why}") from error
    except RuntimeError as error:  # other versions of Ray or Python, or processes that did not come up
        raise UnavailableError(f"No connection with a Ray cluster at {address}: {in_a_line(error)}") from error


def _of(ray: Any, address: str) -> Cluster:
    nodes = [
        Node(one["NodeID"], one["NodeManagerAddress"], int(one["Resources"]["CPU"]))
        for one in ray.nodes()
        if one["Alive"] and one["Resources"].get("CPU", 0) >= 1
    ]
    return Cluster(address, tuple(sorted(nodes, key=lambda node: node.id)))


def _take_signals_back(was: Any) -> None:
    """Ray ends the process on SIGTERM in a way of its own; here what is half-written is removed first."""
    if threading.current_thread() is threading.main_thread() and was in (raise_terminated, signal.SIG_DFL):
        with suppress(ValueError):
            signal.signal(signal.SIGTERM, was)
