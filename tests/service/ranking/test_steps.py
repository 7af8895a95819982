from service.ranking.steps import Paused, Steps, advanced, finished


def counted(n: int, seen: list[int]) -> Steps[str]:
    for place in range(n):
        seen.append(place)
        yield 2.0
    return "done"


def test_steps_go_on_where_they_paused_and_end_with_what_they_found() -> None:
    seen: list[int] = []
    paused = advanced(counted(5, seen), 6.0, lambda: True)
    assert isinstance(paused, Paused)
    assert (seen, paused.work) == ([0, 1, 2], 6.0)
    assert advanced(paused.steps, 6.0, lambda: True) == "done"
    assert finished(counted(5, seen)) == "done"
    assert seen == [0, 1, 2, 3, 4] * 2


def test_nothing_more_is_done_that_nobody_wants() -> None:
    seen: list[int] = []
    paused = advanced(counted(5, seen), 100.0, lambda: len(seen) < 2)
    assert isinstance(paused, Paused)
    assert seen == [0, 1]
