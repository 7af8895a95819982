"""What requests wait for is read by one thread, unless that is held up."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import closing
from time import sleep

import pytest

from recsys_vae.errors import UnavailableError
from service.errors import DeadlineError
from service.ranking import reading as module
from service.ranking.reading import Reading


@pytest.fixture
def reading() -> Iterator[Reading]:
    with closing(Reading(is_local=True)) as made:
        yield made


def soon(seconds: float = 20.0) -> float:
    return asyncio.get_running_loop().time() + seconds


def thread() -> str:
    return threading.current_thread().name


def test_one_thread_reads_and_what_fails_fails_alone(reading: Reading) -> None:
    def fail() -> str:
        raise UnavailableError("down")

    async def read() -> list[str | BaseException]:
        asked = (thread, fail, thread)
        return await asyncio.gather(*(reading.soon(one, soon()) for one in asked), return_exceptions=True)

    first, error, last = asyncio.run(read())
    assert first == last
    assert isinstance(error, UnavailableError)


def test_who_comes_while_it_is_held_up_does_not_wait(reading: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD_UP_SECONDS", 0.0)
    let_go = threading.Event()

    async def read() -> tuple[str, str]:
        held = asyncio.ensure_future(reading.soon(lambda: thread() if let_go.wait(20) else "", soon()))
        await asyncio.sleep(0.01)
        other = await reading.soon(thread, soon())
        let_go.set()
        return await held, other

    held, other = asyncio.run(read())
    assert held != other


@pytest.mark.parametrize("is_local", [True, False])
def test_what_is_not_read_by_its_deadline_is_not_waited_for(is_local: bool) -> None:
    async def read() -> None:
        with closing(Reading(is_local=is_local)) as late, pytest.raises(DeadlineError):
            await late.soon(lambda: sleep(0.5), soon(0.02))

    asyncio.run(read())
