"""Which index a bundle is to have: each kind measured on its own vectors and real queries, and the cheapest chosen.

What is measured is kept in `RECSYS_HOME/index-tuning/`, by bundle, questions and k: the same command again goes on
where it was.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import save_npz

from pipelines.indexing.measuring import Measured, measure
from pipelines.indexing.questions import Questions
from recsys_vae.atomic import write_atomically
from recsys_vae.bundles.bundle import Bundle
from recsys_vae.errors import ConfigError, RetrievalError, UnknownNameError
from recsys_vae.home import home
from recsys_vae.protocols import FactorizedRecommender
from recsys_vae.retrieval.exact import TorchIndex
from recsys_vae.retrieval.index_files import KINDS
from recsys_vae.storage import storing

ROUNDING = 1e-9
"""Shares that differ by less are equal."""
Say = Callable[[str], object]


@dataclass(frozen=True)
class Compared:
    """What was found.

    Attributes:
        measured: kinds that could be built and searched, in the order they were asked for.
        failed: the others, and why.
        chosen: the fastest of those that meet recall and memory; None where none does.
    """

    measured: tuple[Measured, ...]
    failed: dict[str, str]
    chosen: Measured | None


def check_kinds(kinds: Sequence[str]) -> tuple[str, ...]:
    """Kinds without repetitions.

    Raises:
        UnknownNameError: there is no such kind.
        ConfigError: there is none.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise UnknownNameError("index", kind, KINDS)
    if not kinds:
        raise ConfigError(f"No kind of index is named; known are {', '.join(KINDS)}.")
    return tuple(dict.fromkeys(kinds))


def compare_indexes(
    bundle: Bundle,
    questions: Questions,
    *,
    k: int,
    recall: float,
    memory: float | None,
    kinds: Sequence[str] = KINDS,
    fresh: bool = False,
    say: Say = lambda _: None,
) -> Compared:
    """Measure kinds of index and choose one.

    Args:
        bundle: with a factorised model.
        questions: over its catalogue.
        k: items a list, at least 1.
        recall: share of the exact lists that must be found, above 0, at most 1.
        memory: bytes that may be taken; None for any.
        kinds: which are measured.
        fresh: measure again what was measured before.
        say: told what is done.

    Raises:
        ConfigError: a number is out of range.
        UnknownNameError: there is no such kind.
        StorageError: vectors cannot be written beside what is kept.
    """
    kinds = check_kinds(kinds)
    if not 0 < recall <= 1 or k < 1 or (memory is not None and memory <= 0):
        raise ConfigError(f"Recall is a share above 0, k and memory are above 0; got {recall}, {k} and {memory}.")
    folder = home() / "index-tuning" / f"{bundle.version}-{questions.fingerprint()}-{k}"
    measured, failed = {}, {}
    with storing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if fresh:
            shutil.rmtree(folder)
            folder.mkdir()
        kept = {kind: _kept(folder, kind) for kind in kinds}
        with _Vectors(folder / "work", bundle, questions, k) as work:
            for kind in kinds:
                found = kept[kind]
                say(f"{kind}: " + ("measured before" if found else "building and searching ..."))
                try:
                    measured[kind] = found or measure(work.path(), kind)
                except RetrievalError as error:
                    failed[kind] = str(error)
                    continue
                write_atomically(folder / f"{kind}.json", json.dumps(asdict(measured[kind])))
    return Compared(tuple(measured.values()), failed, choose(measured.values(), recall, memory))


def choose(measured: Iterable[Measured], recall: float, memory: float | None) -> Measured | None:
    """The fastest, by the median, of those that meet recall and memory; among equals the smallest."""
    fit = [one for one in measured if not shortcomings(one, recall, memory)]
    return min(fit, key=lambda one: (one.p50_ms, one.memory_bytes), default=None)


def shortcomings(one: Measured, recall: float, memory: float | None) -> str:
    """In words what it does not meet; empty where it meets all."""
    told = []
    if one.recall < recall - ROUNDING:
        told.append("recall")
    if memory is not None and one.memory_bytes > memory:
        told.append("memory")
    return " and ".join(told)


def _kept(folder: Path, kind: str) -> Measured | None:
    path = folder / f"{kind}.json"
    try:
        return Measured(**json.loads(path.read_bytes())) if path.is_file() else None
    except (ValueError, TypeError):
        return None  # of another version, or damaged: it is measured again


class _Vectors:
    """Vectors, questions and exact lists as files, made when the first kind needs them, and removed at the end."""

    def __init__(self, folder: Path, bundle: Bundle, questions: Questions, k: int) -> None:
        self._folder, self._bundle, self._questions, self._k = folder, bundle, questions, k

    def path(self) -> Path:
        """The folder with all of them."""
        if not (self._folder / "exact.npy").is_file():
            assert isinstance(self._bundle.model, FactorizedRecommender)
            self._folder.mkdir(exist_ok=True)
            vectors, asked = self._bundle.model.item_vectors(), self._questions
            np.save(self._folder / "vectors.npy", vectors)
            np.save(self._folder / "queries.npy", asked.queries)
            save_npz(self._folder / "seen.npz", asked.seen)
            np.save(
                self._folder / "exact.npy", TorchIndex(vectors).search(asked.queries, self._k, None, asked.seen).rows
            )
        return self._folder

    def __enter__(self) -> "_Vectors":
        shutil.rmtree(self._folder, ignore_errors=True)  # of a run that was killed
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
