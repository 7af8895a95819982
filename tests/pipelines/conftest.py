"""A Ray cluster that tests of all pipelines share."""

from collections.abc import Iterator
from typing import Any

import pytest

from pipelines.cluster.connection import Cluster, connected
from tests.ray_clusters import ray_cluster


@pytest.fixture(scope="session")
def started() -> Iterator[Any]:
    """A cluster of a head and two nodes of one processor each."""
    with ray_cluster() as found:
        yield found


@pytest.fixture(scope="session")
def cluster(started: Any) -> Iterator[Cluster]:
    """The same, connected with."""
    with connected(started.address) as found:
        yield found
