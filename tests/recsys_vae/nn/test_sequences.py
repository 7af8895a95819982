import torch

from recsys_vae.nn.sequences import START, next_items, to_ask, to_learn
from recsys_vae.nn.sparse_layers import SparseRows

ROWS = SparseRows(torch.tensor([5, 6, 7, 8, 9]), torch.tensor([0, 3, 3, 5]), torch.ones(5))
"""Histories 5 6 7, nothing, and 8 9."""


def test_every_item_is_asked_for_once_after_what_comes_before_it() -> None:
    windows, targets = to_learn(ROWS, length=2)
    assert windows.inputs.tolist() == [START, 5, 6, 7, START, START, 8, 9]
    asked = []
    for _, places, is_real in windows.groups():
        asked += [
            (windows.inputs[row[real]].tolist(), targets[row[real]].tolist())
            for row, real in zip(places, is_real, strict=True)
        ]
    assert sorted(asked) == sorted([([5, 6], [6, 7]), ([START], [5]), ([START, 8], [8, 9])])


def test_what_is_asked_is_the_latest_and_for_nobody_the_start() -> None:
    windows = to_ask(ROWS, length=2)
    found = {}
    for numbers, places, is_real in windows.groups():
        for number, row, real in zip(numbers.tolist(), places, is_real, strict=True):
            found[number] = windows.inputs[row[real]].tolist()
    assert found == {0: [6, 7], 1: [START], 2: [8, 9]}
    assert to_ask(ROWS, length=9).lengths.tolist() == [4, 1, 3]


def test_groups_hold_every_window_once_and_little_padding() -> None:
    lengths = torch.randint(1, 60, (200,), generator=torch.Generator().manual_seed(0))
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    windows = to_ask(SparseRows(torch.arange(int(lengths.sum())), offsets, torch.ones(int(lengths.sum()))), 50)
    groups = list(windows.groups())
    assert sorted(torch.cat([numbers for numbers, _, _ in groups]).tolist()) == list(range(200))
    padded = sum(places.numel() for _, places, _ in groups)
    assert padded < 1.2 * int(windows.lengths.sum())


def test_the_next_items_end_with_the_history() -> None:
    windows, _ = to_learn(ROWS, length=9)
    found = next_items(windows.inputs, torch.tensor([0, 2, 5]), ahead=2)
    assert found.indices.tolist() == [5, 6, 7, 8, 9]
    assert found.offsets.tolist() == [0, 2, 3, 5]
