"""What waits to be written: off the requests' path, with an end, lost never in silence."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from recsys_vae.errors import UnavailableError
from service import timestamps
from service.store import impression_writer
from service.store.impression_writer import ImpressionWriter
from service.store.impressions import Added, Impression


class Table:
    """Keeps exposures, while it is not down; users named `erased` are."""

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.failure: Exception | None = None

    def add(self, exposures: list[Impression]) -> Added:
        if self.failure is not None:
            raise self.failure
        new = [one.request_id for one in exposures if one.user_id != "erased"]
        self.kept += new
        return Added(len(new), 7)


def shown(number: int, user_id: str = "ann", age: int = 0) -> Impression:
    return Impression(f"r{number}", user_id, "a", "v1", True, ("x",), timestamps.now() - age)


def logged(
    act: Callable[[ImpressionWriter, Table], Awaitable[None]], capacity: int = 10
) -> tuple[list[str], Counter[str]]:
    """What was written, and what was counted, after doing something with a log."""
    table, counts = Table(), Counter[str]()

    def count(result: str, number: int) -> None:
        counts[result] += number

    async def run() -> None:
        log = ImpressionWriter(table, count, capacity)  # type: ignore[arg-type]
        await act(log, table)
        await log.close()

    asyncio.run(run())
    return table.kept, counts


def test_what_waits_is_written_in_order_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(impression_writer, "INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr(impression_writer, "BATCH", 2)

    async def act(log: ImpressionWriter, table: Table) -> None:
        running = asyncio.create_task(log.run())
        for number in range(5):
            log.note(shown(number))
        assert table.kept == []
        while len(table.kept) < 5:
            await asyncio.sleep(0.01)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    assert logged(act) == (["r0", "r1", "r2", "r3", "r4"], {"written": 5})


def test_what_still_waits_at_the_end_is_written() -> None:
    async def act(log: ImpressionWriter, _: Table) -> None:
        log.note(shown(1))
        log.note(shown(2, "erased"))

    assert logged(act) == (["r1"], {"written": 1, "erased": 1})


def test_what_comes_when_the_queue_is_full_is_dropped_counted_and_told(caplog: pytest.LogCaptureFixture) -> None:
    async def act(log: ImpressionWriter, _: Table) -> None:
        for number in range(13):
            log.note(shown(number))

    kept, counts = logged(act)
    assert kept == [f"r{number}" for number in range(10)]
    assert counts == {"written": 10, "dropped": 3}
    assert "3 exposures were dropped" in caplog.text


def test_while_the_store_is_down_they_wait_and_are_written_later(caplog: pytest.LogCaptureFixture) -> None:
    async def act(log: ImpressionWriter, table: Table) -> None:
        table.failure = UnavailableError("down")
        for number in range(3):
            log.note(shown(number))
            await log.flush()
        assert table.kept == []
        table.failure = None
        await log.flush()

    assert logged(act) == (["r0", "r1", "r2"], {"written": 3})
    assert caplog.text.count("Exposures wait to be written: down") == 1


def test_what_the_store_never_takes_is_dropped_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    async def act(log: ImpressionWriter, table: Table) -> None:
        table.failure = UnavailableError("down")
        log.note(shown(1))

    assert logged(act) == ([], {"dropped": 1})
    assert "1 exposures were dropped" in caplog.text


def test_what_has_waited_too_long_is_dropped_as_its_user_may_be_erased_by_now() -> None:
    async def act(log: ImpressionWriter, _: Table) -> None:
        log.note(shown(1, age=301 * 1_000_000))
        log.note(shown(2))

    assert logged(act) == (["r2"], {"dropped": 1, "written": 1})


def test_a_defect_costs_a_batch_and_not_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def act(log: ImpressionWriter, table: Table) -> None:
        table.failure = RuntimeError("defect")
        log.note(shown(1))
        await log.flush()
        table.failure = None
        log.note(shown(2))

    assert logged(act) == (["r2"], {"dropped": 1, "written": 1})
    assert "Exposures cannot be written" in caplog.text


def test_where_many_wait_more_are_written_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("BATCH", 2), ("LARGE_BATCH", 5), ("MANY", 6)):
        monkeypatch.setattr(impression_writer, name, size)
    sizes: list[int] = []

    async def act(log: ImpressionWriter, table: Table) -> None:
        add = table.add

        def counted(exposures: list[Impression]) -> Added:
            sizes.append(len(exposures))
            return add(exposures)

        table.add = counted  # type: ignore[method-assign]
        for number in range(17):
            log.note(shown(number))
        await log.flush()

    assert logged(act, 20) == ([f"r{number}" for number in range(17)], {"written": 17})
    assert sizes == [5, 5, 5, 2]
