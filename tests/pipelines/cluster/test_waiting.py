"""Waiting for room: what is said, when, and that nothing is where there is room."""

from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from pipelines.cluster import waiting
from pipelines.cluster.waiting import held, wait_for_any, wait_for_room, wait_until

OWN, OTHER = "01000000", "02000000"


def ray_with(
    monkeypatch: pytest.MonkeyPatch, *, free: float, there: float = 8, done_at: int = 0, others: bool = True
) -> list[float]:
    """A stand-in for Ray whose results are there at the call of that number; returns the patience of each call."""
    asked: list[float] = []

    def wait(references: list[Any], num_returns: int, timeout: float) -> tuple[list[Any], list[Any]]:
        asked.append(timeout)
        return (references[:1], references[1:]) if len(asked) > done_at else ([], references)

    jobs = [
        {"JobID": OWN, "IsDead": False, "Entrypoint": "recsys ingest", "DriverIPAddress": "10.0.0.5"},
        {"JobID": OTHER, "IsDead": False, "Entrypoint": "train.py --password=hunter22", "DriverIPAddress": "10.0.0.7"},
        {"JobID": "03000000", "IsDead": True, "Entrypoint": "old.py", "DriverIPAddress": "10.0.0.7"},
    ]
    actors = {"a": {"JobID": OTHER, "State": "ALIVE"}, "b": {"JobID": OTHER, "State": "DEAD"}}
    fake: Any = ModuleType("ray")
    fake.wait, fake.get = wait, lambda one: one
    fake.available_resources = lambda: {"CPU": free} if free else {}
    fake.cluster_resources = lambda: {"CPU": there}
    fake.get_runtime_context = lambda: SimpleNamespace(get_job_id=lambda: OWN)
    fake.remote = lambda **_: lambda function: SimpleNamespace(remote=function)
    state = SimpleNamespace(actors=lambda: actors, jobs=lambda: jobs if others else jobs[:1])
    fake._private = SimpleNamespace(state=state)
    fake.util = SimpleNamespace(placement_group_table=lambda: {"ab" * 14 + OTHER: {"state": "CREATED"}})
    monkeypatch.setitem(__import__("sys").modules, "ray", fake)
    return asked


def test_a_wait_is_told_of_soon_and_then_again(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setattr(waiting, "held", lambda: "none is free")
    asked: list[float] = []

    def is_over(seconds: float) -> bool:
        asked.append(seconds)
        return len(asked) == 4

    wait_until(is_over, lambda: "" if len(asked) == 2 else "a processor")
    assert asked == [waiting.SOON, waiting.AGAIN, waiting.AGAIN, waiting.AGAIN]
    assert capsys.readouterr().err == "note: waiting for a processor: none is free\n" * 2


def test_nothing_is_said_and_nothing_begun_where_a_processor_is_free(monkeypatch: Any, capsys: Any) -> None:
    asked = ray_with(monkeypatch, free=1)
    wait_for_room()
    assert not asked
    assert capsys.readouterr().err == ""


def test_without_a_free_processor_people_are_told_who_is_there(monkeypatch: Any, capsys: Any) -> None:
    asked = ray_with(monkeypatch, free=0, done_at=1)
    wait_for_room()
    assert len(asked) == 2
    said = capsys.readouterr().err
    assert said.startswith("note: waiting for a processor: 0 of the cluster's 8 processors are free; others at work")
    assert "10.0.0.7 (1 actors, 1 placement groups)" in said
    assert not any(hidden in said for hidden in ("hunter22", "recsys ingest", "old.py"))


@pytest.mark.parametrize(
    ("free", "there", "others", "is_told"),
    [(0, 8, True, True), (0, 8, False, False), (2, 8, True, False), (0, 0, False, True)],
)
def test_results_that_take_long_are_no_wait_unless_others_have_all_processors(
    free: float, there: float, others: bool, is_told: bool, monkeypatch: Any, capsys: Any
) -> None:
    ray_with(monkeypatch, free=free, there=there, done_at=1, others=others)
    assert wait_for_any(["first", "second"]) == "first"
    assert ("waiting for a result" in capsys.readouterr().err) is is_told


def test_an_own_cluster_tells_of_processors_alone(monkeypatch: Any) -> None:
    ray_with(monkeypatch, free=0.5, others=False)
    assert held().startswith("0.5 of the cluster's 8 processors are free. ")
