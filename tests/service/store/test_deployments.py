"""The record of what is in service, over both databases."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier

import pytest

from service.errors import ConflictError
from service.store.deployments import DeploymentTable, Part, Plan
from tests.service.places import Place

PLANS = [Plan((Part("main", 1.0, f"/bundles/{version}", version),)) for version in ("v1", "v2", "v3")]


@pytest.fixture
def table(place: Place) -> Iterator[DeploymentTable]:
    with closing(place.open()) as store:
        yield DeploymentTable(store.database)


def test_nothing_is_in_service_at_first(table: DeploymentTable) -> None:
    assert table.active() is None
    assert table.get(1) is None


def test_the_last_one_is_in_service_and_all_are_kept(table: DeploymentTable) -> None:
    two = Plan(
        (Part("a", 0.9, "models:/m/3", "v4"), Part("b", 0.1, "/b", "v5")), (("models:/m@champion", "models:/m/3"),)
    )
    made = [table.add(PLANS[0], 0, None), table.add(two, 1, 1)]
    assert [one.generation for one in made] == [1, 2]
    assert table.active() == made[1]
    assert table.get(1) == made[0]
    assert (table.active().previous, table.active().plan) == (1, two)


def test_who_replaces_something_else_than_what_is_in_service_is_refused(table: DeploymentTable) -> None:
    table.add(PLANS[0], 0, None)
    for after in (0, 2):
        with pytest.raises(ConflictError, match=f"after generation {after}") as caught:
            table.add(PLANS[1], after, None)
        assert caught.value.code == "superseded"
    assert table.active().plan == PLANS[0]


def test_of_several_at_once_one_gets_its_way(place: Place) -> None:
    start = Barrier(6)

    def add(number: int) -> bool:
        with closing(place.open()) as store:
            store.check()
            start.wait()
            try:
                DeploymentTable(store.database).add(PLANS[number % 3], 0, None)
            except ConflictError:
                return False
            return True

    with ThreadPoolExecutor(6) as threads:
        assert sum(threads.map(add, range(6))) == 1
    with closing(place.open()) as store:
        assert DeploymentTable(store.database).active().generation == 1


def test_plans_serve_alike_wherever_their_bundles_lie() -> None:
    moved = Plan((Part("main", 1.0, "/elsewhere", "v1"),))
    assert moved.serves_as(PLANS[0])
    assert not moved.serves_as(PLANS[1])
    assert not moved.serves_as(Plan((Part("main", 2.0, "/elsewhere", "v1"),)))
    assert not moved.serves_as(Plan((*moved.parts, *PLANS[1].parts)))
