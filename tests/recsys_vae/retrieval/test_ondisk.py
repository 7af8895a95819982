"""The index on disk: the same as a scan of all vectors, from a file that is written in a stream and not trusted."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from scipy.sparse import csr_array, random_array

from recsys_vae.errors import RetrievalError
from recsys_vae.native import ondisk as compiled
from recsys_vae.native import top_k
from recsys_vae.native.library import library
from recsys_vae.retrieval import block_file, block_writer, chosen_items
from recsys_vae.retrieval.block_writer import write_blocks
from recsys_vae.retrieval.exact import TorchIndex
from recsys_vae.retrieval.ondisk import OnDiskIndex
from tests.recsys_vae.native.test_quantised import alike, extreme, normal, spiked, whole

N = 900


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 64 items, 256 of which are put into order at a time."""
    for module in (block_file, block_writer):
        monkeypatch.setattr(module, "BLOCK", 64)
    monkeypatch.setattr(block_file.BlockFile, "block_size", 64)
    monkeypatch.setattr(block_writer, "ROWS_AT_ONCE", 128)
    monkeypatch.setattr(block_writer, "SEGMENT_BYTES", 256 * 4 * 20)


def written(folder: Path, vectors: np.ndarray, queries: np.ndarray | None = None) -> Path:
    write_blocks(folder / "index", vectors, queries=queries)
    return folder / "index"


def popular(draw: np.random.Generator, n: int, d: int) -> np.ndarray:
    """Norms by a power law, some rows of zeros."""
    norms = (1 + draw.permutation(n)) ** -0.5 * (draw.random(n) < 0.95)
    return (normal(draw, n, d) * norms[:, None]).astype(np.float32)


def biased(draw: np.random.Generator, n: int, d: int) -> np.ndarray:
    """A last dimension of another size, as a decoder's bias."""
    vectors = normal(draw, n, d)
    vectors[:, -1] = draw.normal(-8, 3, n)
    return vectors


@pytest.mark.parametrize("level", ["0", "baseline", "avx2", "avxvnni", "avx512", "avx512bf16", "amx"])
@settings(max_examples=8, deadline=None)
@given(
    make=st.sampled_from([normal, popular, whole, biased, alike, extreme, spiked]),
    n=st.sampled_from([0, 1, 9, 70]),
    d=st.sampled_from([1, 2, 20, 33]),
    k=st.sampled_from([1, 20, N + 5]),
    allowed=st.sampled_from([None, 0.0, 0.01, 0.5, 1.0]),
    seen=st.sampled_from([None, 0.0, 0.1]),
    most=st.sampled_from([1, 4096]),
    seed=st.integers(0, 2**31),
)
def test_lists_are_those_of_a_scan_of_all(
    tmp_path_factory: pytest.TempPathFactory, level: str, make: object, n: int, d: int, k: int, allowed: float | None,
    seen: float | None, most: int, seed: int,
) -> None:  # fmt: skip
    draw = np.random.default_rng(seed)
    vectors, queries = make(draw, N, d), make(draw, n, d)  # type: ignore[operator]
    path = written(tmp_path_factory.mktemp("index"), vectors, queries if draw.random() < 0.5 else None)
    flags = None if allowed is None else draw.random(N) < allowed
    excluded = None
    if seen is not None:
        excluded = csr_array(random_array((n, N), density=seen, format="csr", dtype=np.float32, rng=draw))
        excluded.sort_indices()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECSYS_NATIVE", level)
        if level != "0" and library() is None:
            pytest.skip(f"{level} is not compiled or cannot be run here")
        patch.setattr(compiled, "MOST_CANDIDATES", most)
        index = OnDiskIndex(path, vectors)
        found = index.search(queries, k, flags, excluded)
        if level != "0":
            patch.setattr(chosen_items, "SEARCHES", 2)
            for _ in range(3):  # by vectors that are read by and by, where few are allowed
                again = index.search(queries, k, flags, excluded)
                np.testing.assert_array_equal(again.rows, found.rows)
                np.testing.assert_array_equal(again.scores, found.scores)
            expected = top_k.search(queries, vectors, k, flags, excluded)
            np.testing.assert_array_equal(found.rows, expected.rows)
            np.testing.assert_array_equal(found.scores, expected.scores)
            return
        expected = TorchIndex(vectors).search(queries, k, flags, excluded)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5, atol=1e-5)
    if make is whole:
        np.testing.assert_array_equal(found.rows, expected.rows)


def uneven(seed: int = 0, n: int = N, d: int = 20) -> np.ndarray:
    return popular(np.random.default_rng(seed), n, d)


def test_queries_that_are_not_finite_get_what_a_scan_gives_them(tmp_path: Path) -> None:
    vectors, queries = uneven(), normal(np.random.default_rng(1), 6, 20)
    queries[0, 3], queries[1, 5], queries[2, 0], queries[3] = np.nan, np.inf, 1e30, 0
    found = OnDiskIndex(written(tmp_path, vectors)).search(queries, 5)
    assert (found.rows[0] == -1).all()
    if library() is not None:
        expected = top_k.search(queries, vectors, 5, None, None)
        np.testing.assert_array_equal(found.rows, expected.rows)
        np.testing.assert_array_equal(found.scores, expected.scores)


@pytest.mark.parametrize("n", [3, 300])
def test_the_number_of_threads_changes_nothing(tmp_path: Path, n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    index, queries = OnDiskIndex(written(tmp_path, uneven())), normal(np.random.default_rng(1), n, 20)
    alone = index.search(queries, 10)
    monkeypatch.setattr(compiled, "threads", lambda: 5)
    together = index.search(queries, 10)
    np.testing.assert_array_equal(together.rows, alone.rows)
    np.testing.assert_array_equal(together.scores, alone.scores)


def test_equal_vectors_come_in_the_order_of_their_rows(tmp_path: Path) -> None:
    vectors = np.repeat(uneven(n=9), 100, axis=0)
    index = OnDiskIndex(written(tmp_path, vectors))
    assert index.search(vectors[:1], 100).rows[0].tolist() == list(range(100))
    allowed = np.arange(N) % 2 == 1
    assert index.search(vectors[:1], 50, allowed).rows[0].tolist() == list(range(1, 100, 2))


def test_a_fraction_of_the_items_is_looked_at_where_norms_are_uneven(tmp_path: Path) -> None:
    if not compiled.suits(1):
        pytest.skip("nothing is compiled that multiplies 8-bit integers")
    index = OnDiskIndex(written(tmp_path, uneven()))
    index.search(normal(np.random.default_rng(1), 1, 20), 5)
    assert 5 <= index.looked_at[2] <= index.looked_at[1] < index.looked_at[0] <= N // 2


@pytest.mark.parametrize("mapped", [False, True])
def test_the_file_is_the_same_however_its_vectors_are_held_and_however_many_at_a_time(
    tmp_path: Path, mapped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "vectors.npy", uneven())
    vectors = np.load(tmp_path / "vectors.npy", mmap_mode="r" if mapped else None)
    path = written(tmp_path, vectors)
    monkeypatch.setattr(block_writer, "SEGMENT_BYTES", 2**30)
    write_blocks(tmp_path / "at once", uneven())
    assert (tmp_path / "at once").read_bytes() == path.read_bytes()
    view = vectors[300:]
    write_blocks(tmp_path / "view", view)
    OnDiskIndex(tmp_path / "view", uneven()[300:])


def test_the_parts_can_be_read_as_safetensors(tmp_path: Path) -> None:
    parts = load_file(written(tmp_path, uneven()))
    np.testing.assert_array_equal(parts["vectors"], uneven()[parts["rows"]])
    high, low = parts["high"], parts["low"]
    codes = np.hstack([(high & 15) << 4 | low & 15, high & 240 | low >> 4])
    heads = parts["vectors"][:, :19]
    back = (codes[:, :19].astype(np.float32) - 128) * parts["leads"][:, :1]
    assert (np.linalg.norm(heads - back, axis=1) <= parts["rest"][:, 1]).all()
    above = ((codes[:, :19] >> 4) * 16 + np.float32(7.5 - 128)) * parts["leads"][:, :1]
    ratio, slack = parts["blocks"][np.arange(N) // 64][:, [4, 5]].T
    assert (np.linalg.norm(heads - above, axis=1) <= ratio * parts["leads"][:, 0] + slack).all()


def test_the_vectors_are_those_that_were_written(tmp_path: Path) -> None:
    np.testing.assert_array_equal(OnDiskIndex(written(tmp_path, uneven())).vectors, uneven())


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e16])
def test_numbers_beyond_bounds_are_refused(tmp_path: Path, value: float) -> None:
    vectors = uneven()
    vectors[7, 7] = value
    with pytest.raises(RetrievalError, match="use flat"):
        written(tmp_path, vectors)
    with pytest.raises(RetrievalError, match="1 to"):
        written(tmp_path, vectors[:0])


def test_other_vectors_and_other_shapes_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, uneven())
    with pytest.raises(RetrievalError, match="other vectors than the model has"):
        OnDiskIndex(path, uneven() + np.float32(0.01))
    with pytest.raises(RetrievalError, match="holds 900 vectors of width 20, expected 899"):
        OnDiskIndex(path, uneven()[1:])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-1], "cut short"),
        (lambda data: data + b"\0", "added to"),
        (lambda data: b"", "cannot be read"),
        (lambda data: b"\xff" * 200, "cannot be read"),
        (lambda data: data.replace(b'"version":"2"', b'"version":"1"'), "of version 1, .* index build"),
        (lambda data: data.replace(b"recsys on-disk index", b"recsys in-disk index"), "is a recsys in-disk index"),
        (lambda data: data.replace(b'"shape":[900,20]', b'"shape":[901,20]'), "header differs"),
        (lambda data: data.replace(b'"shape":[900,20]', b'"shape":[0,20]  '), "0 vectors"),
    ],
)  # fmt: skip
def test_damaged_and_foreign_files_are_refused(tmp_path: Path, damage: object, message: str) -> None:
    path = written(tmp_path, uneven())
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(RetrievalError, match=message):
        OnDiskIndex(path)


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("rows", N, "names items from"),
        ("rows", -1, "names items from"),
        ("rows", 5, "every item once"),
        ("leads", np.nan, "contradict"),
        ("leads", -1.0, "contradict"),
        ("rest", np.nan, "contradict"),
        ("rest", -1.0, "contradict"),
        ("high", 3, "codes of other vectors"),
        ("low", 3, "codes of other vectors"),
        ("vectors", 7.0, "codes of other vectors"),
        ("blocks", -1.0, "contradict"),
        ("blocks", np.inf, "contradict"),
    ],
)
def test_parts_that_cannot_be_are_refused(tmp_path: Path, part: str, value: float, message: str) -> None:
    path = written(tmp_path, uneven())
    start = block_file.header(N, 20)[1][part]
    kind = {"rows": np.int32, "high": np.uint8, "low": np.uint8}.get(part, np.float32)
    with path.open("r+b") as file:
        file.seek(start)
        file.write(np.array([value, value], kind).tobytes())
    with pytest.raises(RetrievalError, match=message):
        OnDiskIndex(path)


def test_a_file_that_is_cut_short_while_it_is_open_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, uneven())
    start = block_file.header(N, 20)[1]["high"]
    index = OnDiskIndex(path)
    copy = tmp_path / "short"
    copy.write_bytes(path.read_bytes()[: start - 64 * 80])
    with copy.open("rb") as short:
        os.dup2(short.fileno(), index._file.descriptor)  # what is mapped stays
    queries = normal(np.random.default_rng(1), 4, 20)
    for level in ("1", "0"):
        monkeypatch.setenv("RECSYS_NATIVE", level)
        with pytest.raises(RetrievalError, match="no longer be read"):
            index.search(queries, N)


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_says_so_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"too large|No space") as refused:
        written(tmp_path, np.ones((2000, 20), np.float32))
    assert refused.value.errno in (errno.EFBIG, errno.ENOSPC)


def test_what_a_filter_allows_is_copied_and_its_vectors_are_read_with_the_searches_that_follow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not compiled.suits(1):
        pytest.skip("nothing is compiled that multiplies 8-bit integers")
    monkeypatch.setattr(chosen_items, "SEARCHES", 2)
    vectors, draw = uneven(), np.random.default_rng(1)
    index, queries = OnDiskIndex(written(tmp_path, vectors)), normal(draw, 3, 20)
    first, second = (np.isin(np.arange(N), draw.choice(N, 20, replace=False)) for _ in range(2))
    read, gather = [], compiled.gather
    monkeypatch.setattr(
        compiled, "gather", lambda file, places, out: read.append(len(places)) or gather(file, places, out)
    )

    def search(flags: np.ndarray, k: int) -> int:
        """Vectors that were read to be kept."""
        read.clear()
        found, expected = index.search(queries, k, flags), top_k.search(queries, vectors, k, flags, None)
        np.testing.assert_array_equal(found.rows, expected.rows)
        np.testing.assert_array_equal(found.scores, expected.scores)
        return sum(read)

    assert [search(flags, 2) for flags in (first, first, first, first, second, first)] == [0, 10, 10, 0, 0, 0]
    assert search(second, 10) == 20  # most of them are asked for


def test_a_mild_filter_is_copied_when_it_comes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not compiled.suits(1):
        pytest.skip("nothing is compiled that multiplies 8-bit integers")
    vectors, draw = uneven(), np.random.default_rng(1)
    index, query, copies, copied = OnDiskIndex(written(tmp_path, vectors)), normal(draw, 1, 20), [], compiled.copied
    monkeypatch.setattr(compiled, "copied", lambda file, places: copies.append(len(places)) or copied(file, places))
    for allowed, expected in ((20, [20]), (90, []), (90, [90]), (90, []), (700, []), (700, [])):
        copies.clear()
        found = index.search(query, 5, np.arange(N) < allowed)
        np.testing.assert_array_equal(found.rows, top_k.search(query, vectors, 5, np.arange(N) < allowed, None).rows)
        assert copies == expected


def test_blocks_of_a_part_have_the_bounds_of_those_that_their_items_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not compiled.suits(1):
        pytest.skip("nothing is compiled that multiplies 8-bit integers")
    monkeypatch.setattr(chosen_items, "BLOCK", 7)
    file = block_file.BlockFile(written(tmp_path, biased(np.random.default_rng(0), N, 20)))
    places = np.array([0, 1, 63, 64, 65, 200, 201, 202, 203, N - 1], np.int32)
    part = chosen_items.Part.of(file, places)
    for here, there in ((part.blocks[0], file.blocks[0:4]), (part.blocks[1], file.blocks[3:])):
        np.testing.assert_array_equal(np.delete(here, 2), np.delete(there.max(axis=0), 2))
        assert here[2] == there[:, 2].min()
    np.testing.assert_array_equal(part.rows, file.rows[places])
    np.testing.assert_array_equal(part.low, file.low[places])
