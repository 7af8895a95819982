"""The paper model, solved by hand with round numbers."""

import pytest

from tests.benchmarks.paper_model import HOUR, Machines, UnitCosts, Work, ingest, lists, training

UNITS = UnitCosts(
    ingest_rows=1000.0,
    ingest_on_ray=0.5,
    ingest_alone=1e-4,
    log_bytes=10.0,
    spilled_bytes=20.0,
    kept_bytes=5.0,
    train_users=100.0,
    leaves=0.2,
    sharded=0.25,
    products=1e6,
)
MACHINES = Machines(nodes=2, cores=5, network=1e4)
WORK = Work(1000, 100, rows_a_user=10, items_a_user=4, width=2, epochs=3, batch=10, negatives=6, k=5)


def test_ingest_is_rows_and_what_one_process_does_alone() -> None:
    found = ingest(WORK, UNITS, MACHINES)
    assert found.processor_hours * HOUR == pytest.approx(15)  # 10,000 rows at 1,000 a second, and a half
    assert found.moved == 10_000 * (10 + 40 + 5)
    assert found.alone_hours * HOUR == pytest.approx(1)
    assert found.hours * HOUR == pytest.approx(15 / 10 + 1 + 550_000 / 20_000)
    assert found.memory == 117 * 1100


def test_training_sends_the_rows_of_a_step_to_every_worker() -> None:
    found = training(WORK, UNITS, MACHINES)
    assert found.processor_hours * HOUR == pytest.approx(36)  # 3,000 users at 100 a second, and a fifth
    # 300 steps; 40 rows of the first table, 46 of the last; 16 bytes a row; to one other worker.
    assert found.moved == 300 * 86 * 16
    assert found.hours * HOUR == pytest.approx(3.6 + 412_800 / 20_000)
    assert found.memory == 4 * 4 * 400 + 8 * 4000


def test_rows_that_are_sharded_go_there_and_back() -> None:
    sharded = Work(**{**vars(WORK), "rows_are_sharded": True, "trained": 0.5})
    two, ten = (training(sharded, UNITS, Machines(nodes=nodes, cores=5, network=1e4)) for nodes in (2, 10))
    # 150 steps; of 5 users 20 rows of the first table and 26 of the last, of which the other worker holds half.
    assert two.moved == 150 * 2 * (2 * 46 * 16) / 2
    # Of one user 4 and 10 rows; the others hold nine tenths.
    assert ten.moved == pytest.approx(150 * 10 * (2 * 14 * 16) * 0.9)
    assert two.memory == 5 * ten.memory == (4 * 3 * 400 + 8 * 2000) / 2
    assert two.processor_hours * HOUR == pytest.approx(22.5)  # 1,500 users at 100 a second, a fifth, and a quarter


def test_lists_are_products_and_a_bundle_a_node() -> None:
    found = lists(Work(**{**vars(WORK), "scored": 0.1}), UNITS, MACHINES)
    assert found.processor_hours * HOUR == pytest.approx(0.02)  # 1,000 users, 10 items, 2 numbers, a million a second
    assert found.memory == 4 * 2 * 100 * 2
    assert found.moved == 2 * 1600 + 1000 * (8 * 4 + 8 * 5)
