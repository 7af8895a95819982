import numpy as np
import pytest
from pydantic_core import to_json
from scipy.sparse import csr_array

from recsys_vae.native import quantised
from recsys_vae.native.encoder import Encoder, Layer, Norm
from recsys_vae.native.lists import Asked, List, Lists
from recsys_vae.native.lookup import Lookup
from recsys_vae.native.products import Packed
from recsys_vae.protocols import Float32Array

LEVELS = ("avx2", "avxvnni", "avx512", "avx512bf16", "amx")
pytestmark = pytest.mark.usefixtures("compiled")

WIDTH = 20


def weights(seed: int, *shape: int) -> Float32Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32) / 3


def encoder_of(n_items: int) -> Encoder:
    norm = Norm(weights(1, WIDTH) + 1, weights(2, WIDTH), 0.1)
    return Encoder(
        [
            Layer(weights(3, n_items, WIDTH), weights(4, WIDTH), "silu", norm),
            Layer(Packed.of(weights(5, WIDTH, WIDTH)), weights(6, WIDTH), "tanh", norm, adds_before=True),
        ]
    )


class World:
    """Lists over some items, and the same step by step."""

    def __init__(self, n_items: int, vectors: Float32Array | None = None) -> None:
        self.ids = [f"i{number * number}é" for number in range(n_items)]
        self.vectors = weights(7, n_items, WIDTH + 1) if vectors is None else vectors
        coded = quantised.quantise(self.vectors)
        assert coded is not None
        self.items, self.lookup, self.encoder = coded, Lookup(self.ids), encoder_of(n_items)
        self.lists = Lists(self.encoder, self.items, self.lookup)

    def step_by_step(
        self, histories: list[list[str]], lengths: list[int], allowed: np.ndarray | None
    ) -> list[tuple[list[int], list[int], Float32Array]]:
        asked = [self.lookup.rows(ids).tolist() for ids in histories]
        known = [sorted(row for row in rows if row >= 0) for rows in asked]
        starts = np.cumsum([0, *map(len, known)])
        indices = np.array([row for rows in known for row in rows], dtype=np.int64)
        ones = np.ones(len(indices), dtype=np.float32)
        queries = self.encoder(indices, starts, ones, ones=1)
        excluded = csr_array((ones, indices, starts), shape=(len(known), len(self.ids)))
        found = quantised.search(queries, self.items, max(lengths), allowed, excluded)
        rows = [[row for row in best if row >= 0] for best in found.rows.tolist()]
        return [
            (asked[place], rows[place][:length], found.scores[place, : len(rows[place][:length])])
            for place, length in enumerate(lengths)
        ]


def asked_of(histories: list[list[str]], lengths: list[int]) -> list[Asked]:
    return [Asked("\0".join(ids).encode(), len(ids), length) for ids, length in zip(histories, lengths, strict=True)]


def text_of(world: World, one: List, scores: list[float]) -> bytes:
    """Items as they are written otherwise."""
    items = [
        {"rank": rank, "item_id": world.ids[row], "score": score, "source": "history"}
        for rank, (row, score) in enumerate(zip(one.rows, scores, strict=True), 1)
    ]
    return to_json(items)[1:-1]


def unpacked(packed: bytes) -> list[int]:
    rows, row, shift = [], 0, 0
    for byte in packed:
        row += (byte & 0x7F) << shift
        shift = shift + 7 if byte & 0x80 else 0
        if not byte & 0x80:
            rows.append(row)
    return rows


@pytest.mark.parametrize("share", [None, 0.6, 0.02])
@pytest.mark.parametrize("n", [1, 3, 9, 70])
def test_lists_are_those_of_the_steps_bit_for_bit(n: int, share: float | None) -> None:
    world, draw = World(500), np.random.default_rng(n)
    allowed = None if share is None else draw.random(500) < share
    known = [[world.ids[row] for row in draw.choice(500, draw.integers(1, 40), replace=False)] for _ in range(n)]
    histories = [[*ids, *(["nobody", ""] if number % 3 == 1 else [])] for number, ids in enumerate(known)]
    lengths = draw.integers(1, 30, n).tolist()
    found = world.lists(asked_of(histories, lengths), allowed)
    assert found is not None
    for one, ids, (asked, rows, scores) in zip(
        found, known, world.step_by_step(histories, lengths, allowed), strict=True
    ):
        assert (one.asked.tolist(), one.n_known, one.rows) == (asked, len(ids), rows)
        np.testing.assert_array_equal(one.scores, scores)
        assert unpacked(one.packed) == sorted(rows)


def test_a_list_may_be_of_all_items_or_empty() -> None:
    world = World(40)
    found = world.lists(asked_of([world.ids[:7], world.ids, ["nobody"]], [40, 5, 40]))
    assert found is not None
    assert sorted(found[0].rows) == list(range(7, 40))
    assert (found[1].rows, found[1].items, found[1].packed) == ([], b"", b"")
    assert (found[2].n_known, len(found[2].rows)) == (0, 40)


def test_ids_that_cannot_be_told_apart_are_not_looked_up() -> None:
    world = World(40)
    assert world.lists([Asked(b"i0\0i1", 1, 5)]) is None
    assert world.lists([Asked(b"i0", 2, 5)]) is None
    assert world.lists([Asked(b"", 0, 5)]) is not None


def test_rooms_are_kept_and_grow() -> None:
    world = World(300)
    few, many = asked_of([world.ids[:3]], [4]), asked_of([world.ids[:3]] * 100, [250] * 100)
    first, second, third = world.lists(few), world.lists(many), world.lists(few)
    assert first is not None
    assert second is not None
    assert third is not None
    assert first[0].rows == third[0].rows == second[99].rows[:4]
    assert first[0].items == third[0].items


def shortest(scores: Float32Array) -> list[float]:
    """Six to nine digits, as few as tell a number from its neighbours."""
    found = []
    for score in scores.tolist():
        texts = (f"{score:.{digits}g}" for digits in range(6, 10))
        found.append(float(next(text for text in texts if np.float32(text) == np.float32(score))))
    return found


def test_scores_are_written_as_they_are_otherwise() -> None:
    draw = np.random.default_rng(0)
    sizes = 10 ** draw.uniform(-4, 5, 3000) * draw.choice([-1, 1], 3000)
    sizes[:8] = 0.0, -0.0, 1.0, -1.0, 0.1, 99999.99, 0.00011, 12.5
    sizes[8:400] = np.round(sizes[8:400], 2)
    sizes[400:800] = draw.integers(-99999, 99999, 400)
    vectors = np.zeros((3000, WIDTH + 1), dtype=np.float32)
    vectors[:, -1] = np.clip(sizes, -99999.99, 99999.99)  # a query's last number is 1
    vectors[np.abs(vectors[:, -1]) < 1.001e-4, -1] = 0.5
    world = World(3000, vectors)
    found = world.lists(asked_of([[world.ids[2999]]], [3000]))
    assert found is not None
    assert len(found[0].rows) == 2999
    np.testing.assert_array_equal(np.abs(found[0].scores), np.abs(vectors[found[0].rows, -1]))
    assert found[0].items == text_of(world, found[0], shortest(found[0].scores))


@pytest.mark.parametrize("score", [1e5, -3e7, 9e-5, -1e-30])
def test_lists_with_scores_that_need_an_exponent_are_not_written(score: float) -> None:
    vectors = np.zeros((50, WIDTH + 1), dtype=np.float32)
    vectors[:, -1], vectors[3, -1] = 2.0, score
    world = World(50, vectors)
    found = world.lists(asked_of([["i1é"], ["i9é"]], [50, 50]))
    assert found is not None
    assert found[0].items == b""
    assert len(found[0].rows) == 49
    assert found[1].items.count(b"rank") == 49
