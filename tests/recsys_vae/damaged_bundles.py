"""Damage files of a bundle at random, make the checksums fit again, and ask it: a process that prints what came of it.

    python -m tests.recsys_vae.damaged_bundles FOLDER MODEL INDEX SEED ROUNDS

It is a process of its own because what is being looked for may end one.
"""

import json
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from safetensors.numpy import load_file, save_file

from recsys_vae.bundles.bundle import Bundle
from recsys_vae.bundles.manifest import MANIFEST, file_hashes, read_manifest, write_manifest
from recsys_vae.data.histories import empty_histories
from recsys_vae.errors import RecsysError
from recsys_vae.recommender import PRIOR, SEGMENT, FallbackChain
from tests.recsys_vae.test_bundle_values import KNOWN, RECORDS, WORLD, written
from tests.worlds import by_row

Random = np.random.Generator


def flip_byte(path: Path, rng: Random) -> None:
    content = bytearray(path.read_bytes())
    content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)


def cut_short(path: Path, rng: Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(rng.integers(len(content)))])


def repeat_part(path: Path, rng: Random) -> None:
    content = path.read_bytes()
    start, end = sorted(rng.integers(len(content), size=2).tolist())
    path.write_bytes(content[:end] + content[start:])


VALUES: tuple[Callable[[np.ndarray], Any], ...] = (
    lambda a: a.astype(np.float64),
    lambda a: a.astype(np.float16),
    lambda a: a.astype(np.int32),
    lambda a: a.reshape(-1),
    lambda a: a[None],
    lambda a: a[:-1] if a.ndim else a,
    lambda a: np.concatenate([a, a]) if a.ndim else a,
    lambda a: a[..., ::-1],
    lambda a: a * 0,
    lambda a: a * -1,
    lambda a: a + 2**20,
    lambda a: a * np.asarray(3e38, np.float32) if a.dtype.kind == "f" else a.astype(np.int64) * 2**40,
    lambda a: np.where(np.arange(a.size).reshape(a.shape) == 0, np.nan, a) if a.dtype.kind == "f" else -a - 1,
    lambda a: np.full_like(a, np.inf) if a.dtype.kind == "f" else np.full_like(a, np.iinfo(a.dtype).max),
)


def change_tensor(path: Path, rng: Random) -> None:
    tensors = load_file(path)
    name = sorted(tensors)[int(rng.integers(len(tensors)))]
    with np.errstate(all="ignore"):
        changed = VALUES[int(rng.integers(len(VALUES)))](tensors[name])
    save_file({key: np.ascontiguousarray(value) for key, value in (tensors | {name: changed}).items()}, path)


def drop_tensor(path: Path, rng: Random) -> None:
    tensors = load_file(path)
    del tensors[sorted(tensors)[int(rng.integers(len(tensors)))]]
    save_file(tensors, path)


def change_table(path: Path, rng: Random) -> None:
    table = pl.read_parquet(path)
    name = table.columns[int(rng.integers(table.width))]
    changes = (
        table.drop(name),
        table.head(table.height // 2),
        table.head(0),
        table.reverse(),
        table.with_columns(pl.lit(None).alias(name)),
        table.with_columns(pl.lit(-1).alias(name)),
        table.with_columns(pl.lit(float("nan")).alias(name)),
        table.with_columns(pl.lit(2**62).alias(name)),
        table.with_columns(pl.col(name).cast(pl.String).cast(pl.Binary)),
        table.with_columns(pl.concat_list(name).alias(name)),
        pl.concat([table, table]),
    )
    changes[int(rng.integers(len(changes)))].write_parquet(path)


WORDS = (None, -1, 0, 1, 2**70, 1e308, float("nan"), float("inf"), "", "x", [], {}, [1], {"a": 1}, True)


def change_json(path: Path, rng: Random) -> None:
    content = json.loads(path.read_text())
    places = list(_places(content))
    holder, key = places[int(rng.integers(len(places)))]
    holder[key] = WORDS[int(rng.integers(len(WORDS)))]
    path.write_text(json.dumps(content))


def _places(content: Any) -> Any:
    for key in list(content) if isinstance(content, dict) else range(len(content)):
        yield content, key
        if isinstance(content[key], dict | list):
            yield from _places(content[key])


BY_ENDING = {
    ".safetensors": (change_tensor, change_tensor, change_tensor, drop_tensor),
    ".parquet": (change_table, change_table),
    ".json": (change_json, change_json, change_json),
}
ANY = (flip_byte, cut_short, repeat_part)


def damage(bundle: Path, rng: Random) -> str:
    """Damage one file; returns what was done."""
    files = sorted(path for path in bundle.iterdir() if path.is_file())
    path = files[int(rng.integers(len(files)))]
    ways = (*ANY, *BY_ENDING.get(path.suffix, (flip_byte,)))
    way = ways[int(rng.integers(len(ways)))]
    way(path, rng)
    if path.name != MANIFEST:
        write_manifest(bundle, replace(read_manifest(bundle), files=file_hashes(bundle)))
    return f"{way.__name__} {path.name}"


def ask(path: Path) -> str:
    """What a bundle answers: `refused`, `finite`, or what is wrong with it."""
    try:
        bundle = Bundle.load(path)
        chain = FallbackChain(bundle)
    except RecsysError:
        return "refused"
    except BaseException as error:
        return f"{type(error).__name__} when loaded: {error}"
    try:
        return "finite" if all(_is_finite(chain, tier) for tier in chain.tiers) else "not finite"
    except RecsysError:
        return "refused when asked"
    except BaseException as error:
        return f"{type(error).__name__} when asked: {error}"


def _is_finite(chain: FallbackChain, tier: str) -> bool:
    bundle, n_items = chain.bundle, len(chain.bundle.items)
    if n_items != WORLD.n_items:
        return True  # another catalogue, whole in itself
    schema = chain.bundle.tiers.schema
    metadata = None if schema is None else schema.encode(RECORDS[:3])
    if metadata is not None and metadata.shape[1] != KNOWN.width:
        metadata = None
    needs_metadata = tier in (PRIOR, SEGMENT)
    if needs_metadata and metadata is None:
        return True
    histories = empty_histories(3, n_items) if needs_metadata else WORLD.matrix[:3]
    with np.errstate(all="ignore"):
        answers = chain.recommend(histories, 10, metadata=metadata, order=by_row(histories), tier=tier)
        chain.similarity.similar(0, 5)
        segments, lists = bundle.tiers.segments, bundle.shelves.lists
        one = None if metadata is None else metadata[:1]
        made = [lists.scores(name, bundle.popularity, segments, one) for name in lists.names]
    if any(np.isnan(scores).any() or np.isposinf(scores).any() for scores in made):
        return False
    return bool(np.isfinite(answers.scores[answers.rows >= 0]).all() and (answers.rows < n_items).all())


def main(folder: Path, model: str, index: str, seed: int, rounds: int) -> None:
    whole = written(folder / "whole", model, index)
    found: Counter[str] = Counter()
    for number in range(rounds):
        rng = np.random.default_rng([seed, number])
        copy = shutil.copytree(whole, folder / "damaged", dirs_exist_ok=True)
        done = damage(copy, rng)
        print(f"{number} {done}", file=sys.stderr, flush=True)
        outcome = ask(copy)
        found[outcome if outcome in ("refused", "finite") else f"{number} {done}: {outcome}"] += 1
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
