"""A real Ray cluster of several nodes on this machine, with tokens on."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock, current_thread, main_thread
from typing import Any

OBJECT_STORE = 200 << 20
"""Bytes a node."""
_MISSED_SOON = {"health_check_period_ms": 1000, "health_check_failure_threshold": 6}
"""A node that is gone is missed after six seconds, not fifteen; one that is slow has a minute, as is Ray's default."""
PATIENCE = 120.0
"""Seconds that a node may take to come up."""
_ONE_AT_A_TIME = Lock()
TOKEN = "a-token-of-the-tests-" + "0" * 43


@contextmanager
def ray_cluster(nodes: int = 2) -> Iterator[Any]:
    """A head without processors and nodes with one each; `remove_node` and `add_node` of it kill and start nodes.

    Yields:
        ray.cluster_utils.Cluster: not yet connected with.
    """
    before = dict(os.environ)
    # As Ray is imported it reads the mode.
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "RAY_USAGE_STATS_ENABLED": "0"}
    os.environ["PYTHONPATH"] = os.pathsep.join([os.getcwd(), *filter(None, [before.get("PYTHONPATH")])])
    from ray.cluster_utils import Cluster

    head = {
        "num_cpus": 0,
        "object_store_memory": OBJECT_STORE,
        "include_dashboard": False,
        "_system_config": _MISSED_SOON,
    }
    cluster = _begun(lambda: Cluster(initialize_head=True, head_node_args=head))
    try:
        for _ in range(nodes):
            add_node(cluster)
        yield cluster
    finally:
        cluster.shutdown()
        os.environ.clear()
        os.environ.update(before)


def add_node(cluster: Any) -> None:
    """One more node."""
    # Ray takes signals for a node that is to end with the process, which only the main thread may.
    cluster._shutdown_at_exit = current_thread() is main_thread()
    node = _begun(lambda: cluster.add_node(wait=False, num_cpus=1, object_store_memory=OBJECT_STORE))
    cluster._wait_for_node(node, PATIENCE)


def replace_node(cluster: Any) -> None:
    """Kill a node with all its processes, and begin another one."""
    with _ONE_AT_A_TIME:
        kill_node(cluster, next(iter(cluster.worker_nodes)))
        add_node(cluster)


def kill_node(cluster: Any, node: Any) -> None:
    """Kill a node with all its processes."""
    cluster.remove_node(node, allow_graceful=False)


def busy_node(cluster: Any) -> Any | None:
    """A node whose processor has work, of a cluster that this process is connected with; None where none has.

    One that has come up a moment ago is not known to have any.
    """
    from ray._private.state import available_resources_per_node

    busy = {name for name, left in available_resources_per_node().items() if left.get("CPU", 0) < 1}
    return next((node for node in cluster.worker_nodes if node.node_id in busy), None)


def _begun(begin: Callable[[], Any]) -> Any:
    """What begins a node, tried again."""
    for _ in range(2):
        with suppress(Exception), _patience():
            return begin()
    with _patience():
        return begin()


@contextmanager
def _patience() -> Iterator[None]:
    """Give a node two minutes to be known; Ray itself gives it half a minute, too little on a busy machine."""
    from ray._private import services

    ask = services.get_node

    def ask_again(*arguments: Any) -> Any:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return ask(*arguments)
            except RuntimeError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.5)

    services.get_node = ask_again
    try:
        yield
    finally:
        services.get_node = ask
