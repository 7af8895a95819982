"""Lists of all users, made on a cluster in shards that are kept until the file is whole: what is broken off goes on.

Beside `lists.parquet`, while it is made:

    .lists.parquet.shards/
        shards.json         what is asked for, of which bundle and dataset: shards of anything else are thrown away
        00000.arrow         the lists of some chunks of users
        00000.json          written last: who is in it, rows of each chunk, SHA-256; a shard counts when it fits these
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from shutil import rmtree
from typing import Any, Final

import polars as pl

from pipelines.cluster.actors import actors
from pipelines.cluster.connection import Cluster
from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.histories import Chunk
from pipelines.recommend import Asked, ListMaker, Spread
from recsys_vae.atomic import atomic_file, write_atomically
from recsys_vae.data.ids import IdMap
from recsys_vae.errors import ConfigError

CHUNKS: Final = 16
"""Chunks of a shard."""
MANIFEST: Final = "shards.json"


@dataclass(frozen=True)
class Shard:
    """Some chunks, and where their lists go."""

    place: Path
    chunks: tuple[Chunk, ...]

    def kept(self) -> list[int] | None:
        """Rows of each chunk, if the shard is there and whole."""
        account = self.place.with_suffix(".json")
        try:
            found = json.loads(account.read_bytes())
            is_whole = found["sha256"] == _digest(self.place) and found["users"] == self._users()
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return list(found["rows"]) if is_whole else None

    def write(self, tables: Sequence[pl.DataFrame]) -> list[int]:
        """Write it, a table a chunk; rows of each."""
        with atomic_file(self.place) as temporary:
            pl.concat(tables, rechunk=True).write_ipc(temporary)
        rows = [table.height for table in tables]
        account = {"users": self._users(), "rows": rows, "sha256": _digest(self.place)}
        write_atomically(self.place.with_suffix(".json"), json.dumps(account) + "\n")
        return rows

    def _users(self) -> str:
        digest = sha256()
        for chunk in self.chunks:
            digest.update("\n".join(chunk.users).encode() + b"\n\n")
        return digest.hexdigest()


class ShardMaker:
    """Makes shards, with a bundle that is loaded once."""

    def __init__(self, bundle: Path, dataset: Path, asked: Asked) -> None:
        self._lists = ListMaker.load(bundle, DatasetDir(dataset), asked)

    def __call__(self, shard: Shard) -> list[int]:
        """Rows of each chunk of a shard, once it is there."""
        return shard.kept() or shard.write([self._lists(chunk) for chunk in shard.chunks])


def spread_on(
    cluster: Cluster, bundle: Path, dataset: DatasetDir, to: Path, asked: Asked, only: IdMap | None, chunk: int
) -> Spread:
    """What gives `recommend_all` its lists: actors on a cluster, by way of shards beside `to`.

    Raises:
        ConfigError: something else stands where shards go.
    """
    folder = shard_folder(to)
    users = None if only is None else sha256("\n".join(only.values).encode()).hexdigest()
    wanted = {
        "bundle": _digest(bundle / "manifest.json"),
        "dataset": [str(dataset.path), *_files(dataset.path)],
        "asked": json.loads(json.dumps(asdict(asked), default=str)),
        "chunk": chunk,
        "only": users,
    }

    def lists(chunks: Iterator[Chunk]) -> Iterator[pl.DataFrame]:
        _prepare(folder, wanted)
        begun: list[Path] = []
        with actors(cluster, ShardMaker, bundle, dataset.path, asked) as makers:
            for number, rows in enumerate(makers.ask_all((one,) for one in _shards(chunks, folder, begun))):
                table, start = pl.scan_ipc(begun[number], glob=False).collect(), 0
                for some in rows:
                    yield table.slice(start, some)
                    start += some
        rmtree(folder)

    return lists


def shard_folder(to: Path) -> Path:
    """Where the shards of a file go."""
    return to.absolute().parent / f".{to.name}.shards"


def _shards(chunks: Iterator[Chunk], folder: Path, begun: list[Path]) -> Iterator[Shard]:
    while some := tuple(islice(chunks, CHUNKS)):
        begun.append(folder / f"{len(begun):05d}.arrow")
        yield Shard(begun[-1], some)


def _prepare(folder: Path, wanted: dict[str, Any]) -> None:
    """Leave what fits, and nothing else."""
    manifest = folder / MANIFEST
    if folder.is_dir() and any(folder.iterdir()):
        if not manifest.is_file():
            raise ConfigError(f"{folder} holds something else than shards of lists. Move it away and start again.")
        if manifest.read_bytes() == _as_json(wanted):
            return
        rmtree(folder)
    folder.mkdir(exist_ok=True)
    write_atomically(manifest, _as_json(wanted))


def _as_json(wanted: dict[str, Any]) -> bytes:
    return json.dumps(wanted, indent=2, sort_keys=True).encode() + b"\n"


def _files(folder: Path) -> list[str]:
    """What the tables of a dataset are now."""
    stats = [(path.name, path.stat()) for path in sorted(folder.iterdir()) if path.is_file()]
    return [f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats]


def _digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()
