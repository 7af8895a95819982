"""Ray clusters that tests of all pipelines share: a real one, and one within the process."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from pipelines.cluster.connection import Cluster, connected
from tests.fake_ray import CLUSTER, fake_ray
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


@pytest.fixture
def within(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """A cluster within this process."""
    monkeypatch.setitem(sys.modules, "ray", fake_ray())
    return CLUSTER


@pytest.fixture(params=[pytest.param("real", marks=pytest.mark.slow), "within"])
def either(request: pytest.FixtureRequest) -> Cluster:
    """A real cluster in the slow tests, else one within this process."""
    found: Cluster = request.getfixturevalue("cluster" if request.param == "real" else "within")
    return found
