"""Published splits: which of the files of a log are its test part."""

from collections.abc import Sequence
from pathlib import Path

from pipelines.ingest.formats.catalog import recognise
from pipelines.ingest.formats.peek import Peek

PAIRS = (("train", "test"), (".base", ".test"))
"""What names of the two parts differ by: LightGCN's train.txt and test.txt, MovieLens 100K's u1.base and u1.test."""
SPLIT_FORMATS = ("lightgcn", "movielens-100k")


def split_given(logs: Sequence[Path]) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Logs to learn from, and those of the published test part that lie beside them."""
    beside = set(logs)
    test = [path for path in logs if any(_train_of(path, pair) in beside for pair in PAIRS) and _is_split(path)]
    return tuple(path for path in logs if path not in test), tuple(test)


def _train_of(path: Path, pair: tuple[str, str]) -> Path | None:
    train, test = pair
    return path.with_name(path.name.replace(test, train)) if test in path.name else None


def _is_split(path: Path) -> bool:
    form = recognise(Peek.at(path))
    return form is not None and form.name in SPLIT_FORMATS
