"""Training through a bucket: for workers on nodes that have no folder in common.

    ADDRESS/NAME.training/inputs/         the dataset, and the bundle that is published
    ADDRESS/NAME.training/checkpoints/    what workers write, each from a folder of its own node
    ADDRESS/NAME.training/refused.json    what one of them raised on purpose

NAME is that of the bundle. The command sends the inputs and brings the checkpoints of the complete runs here, to the
folder where they lie without a bucket; then nothing of it is left there.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from pipelines.artifacts.workspace import CHECKPOINTS
from pipelines.dataset.directory import DatasetDir
from pipelines.training.train import Output
from recsys_vae.errors import ConfigError
from recsys_vae.remote import SCHEMES, WEB, bring, check_address, names_below, remove, scheme_of, send
from recsys_vae.training.parallel import Group

INPUTS, KEPT, PARTS = "inputs", "checkpoints", ".part-"
UNREAD: Final = ("studies", "comparisons", "accepted", "quarantine.parquet", "losses.parquet")
"""Of a dataset, what no training reads."""
AT_ONCE: Final = 8
"""Files that travel at the same time."""


@dataclass(frozen=True)
class Bucket:
    """The place of one training.

    Attributes:
        root: its address.
        token: of this run of the command, by which workers name folders of their nodes.
    """

    root: str
    token: str

    @classmethod
    def of(cls, storage: str, output: Output) -> "Bucket":
        """Below an address that `--storage` names.

        Raises:
            ConfigError: it is not one of a bucket.
        """
        if scheme_of(storage) not in SCHEMES or scheme_of(storage) in WEB:
            raise ConfigError(f"--storage {storage!r} is no address of a bucket: expected s3://, gs:// or az://.")
        root = f"{storage.rstrip('/')}/{output.path.name}.training"
        check_address(root)
        return cls(root, uuid4().hex)

    @property
    def checkpoints(self) -> str:
        """Address of the checkpoints."""
        return f"{self.root}/{KEPT}"

    def prepare(self, part: "partial[None]", output: Output, *, resume: bool) -> None:
        """Send what workers read.

        Args:
            part: what they do.
            resume: go on from the checkpoints that are there, else from those of this machine.

        Raises:
            ConfigError: there are some, and they are not to be gone on with.
        """
        there = names_below(self.checkpoints)
        if there and not resume:
            raise ConfigError(
                f"An interrupted run for {output.path} is in {self.root}. Continue it with --resume, or remove what is "
                "there to start over."
            )
        files = {f"{INPUTS}/{name}": path for name, path in _inputs_of(part)}
        if not there:
            files |= {f"{KEPT}/{path.name}": path for path in output.workspace.glob(CHECKPOINTS)}
        remove(self.root, [name for name in names_below(self.root) if not name.startswith(f"{KEPT}/")])
        with ThreadPoolExecutor(AT_ONCE, "recsys-send") as pool:
            for _ in pool.map(lambda name: send(files[name], f"{self.root}/{name}"), files):
                pass

    def bring_checkpoints(self, output: Output) -> None:
        """Bring those of complete runs to the folder of this machine, and remove all that is in the bucket."""
        output.workspace.mkdir(parents=True, exist_ok=True)
        _bring_whole(self.checkpoints, output.workspace)
        remove(self.root, names_below(self.root))

    def part_of(self, part: "partial[None]") -> Callable[..., None]:
        """The same part for workers that see the bucket alone."""
        return partial(_take_part, self, part)


def _take_part(bucket: Bucket, part: "partial[None]", *, group: Group) -> None:
    """What a worker does: as `part`, on a copy of the inputs, from the checkpoints of the bucket."""
    with _own_folder(f"recsys-{bucket.token}-{group.rank}") as folder:
        for name in names_below(f"{bucket.root}/{INPUTS}"):
            bring(f"{bucket.root}/{INPUTS}/{name}", (folder / name).parent)
        moved = partial(part.func, *(_moved(value, folder) for value in part.args), **part.keywords)
        for value in moved.args:
            if isinstance(value, Output):
                value.workspace.mkdir(parents=True)
                _bring_whole(bucket.checkpoints, value.workspace)
        moved(group=replace(group, storage=bucket.checkpoints))


@contextmanager
def _own_folder(name: str) -> Iterator[Path]:
    """A folder of this node, without what a worker of that name left here that was killed."""
    folder = Path(tempfile.gettempdir()) / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _bring_whole(address: str, folder: Path) -> None:
    """Bring checkpoints, but for parts of tables: of those each process takes what it needs."""
    for name in names_below(address):
        if PARTS not in name:
            bring(f"{address}/{name}", folder)


def _inputs_of(part: "partial[None]") -> Iterator[tuple[str, Path]]:
    """Files that a part reads, by the names that they have for workers."""
    for value in part.args:
        moved = _place_of(value)
        if moved is not None and not isinstance(value, Output):
            folder = value.path if isinstance(value, DatasetDir) else value
            for path in folder.rglob("*"):
                inside = path.relative_to(folder)
                if path.is_file() and _is_read(inside.parts, part.args):
                    yield (moved / inside).as_posix(), path


def _is_read(path: Sequence[str], arguments: Sequence[Any]) -> bool:
    """Whether a training reads a file: of splits only that which is among the arguments."""
    is_other_split = path[0] == "splits" and path[1] not in arguments
    return not (is_other_split or path[0] in UNREAD or any(name.startswith(".") for name in path))


def _moved(value: Any, folder: Path) -> Any:
    """An argument as it is for a worker, whose files lie in a folder of its own."""
    place = _place_of(value)
    if place is None:
        return value
    return replace(value, path=folder / place) if isinstance(value, DatasetDir | Output) else folder / place


def _place_of(value: Any) -> Path | None:
    """Where a worker has what a part is given as a folder."""
    match value:
        case DatasetDir():
            return Path("dataset", value.path.name)
        case Output():
            return Path("made", value.path.name)
        case Path():
            return Path("bundle", value.name)
    return None
