import threading

import pytest

from pipelines.ingest.beside import side_by_side


def test_results_come_in_the_order_of_the_arguments_while_two_calls_run():
    both = threading.Barrier(2, timeout=20)

    def call(number: int) -> int:
        both.wait()  # nobody is alone
        return number * number

    assert list(side_by_side(call, range(6))) == [0, 1, 4, 9, 16, 25]


def test_what_a_call_raises_is_raised_in_its_place():
    def call(number: int) -> int:
        if number == 2:
            raise ValueError("two")
        return number

    results = side_by_side(call, range(4))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(results)
