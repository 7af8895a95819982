"""A real Ray cluster of several nodes on this machine, with tokens on."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

OBJECT_STORE = 100 << 20
"""Bytes a node; Ray takes no less than 75 MiB."""
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

    head = {"num_cpus": 0, "object_store_memory": OBJECT_STORE, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(nodes):
            cluster.add_node(num_cpus=1, object_store_memory=OBJECT_STORE)
        yield cluster
    finally:
        cluster.shutdown()
        os.environ.clear()
        os.environ.update(before)
