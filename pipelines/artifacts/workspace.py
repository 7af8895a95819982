"""The folder beside the output of a training, where its checkpoints lie while it goes on."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from recsys_vae.atomic import remove_partials
from recsys_vae.errors import ConfigError
from recsys_vae.outputs import Product, check_output

CHECKPOINTS = "*.safetensors"


class Destination(Protocol):
    """Where a training writes to."""

    @property
    def path(self) -> Path:
        """Directory of what is trained."""

    @property
    def overwrite(self) -> bool:
        """Whether what stands there may be replaced."""

    @property
    def workspace(self) -> Path:
        """Folder of the checkpoints."""


def workspace_of(path: Path) -> Path:
    """The hidden folder beside a directory."""
    return path.parent / f".{path.name}.training"


def check_workspace(output: Destination, resume: bool, product: Product) -> None:
    """Refuse to start over what could be continued, and to replace what was finished or is no such product.

    Raises:
        ConfigError: something complete or of another kind is there, or an interrupted run that is not to be resumed.
    """
    check_replaceable(output, product)
    leftovers: Sequence[Path] = sorted(output.workspace.glob(CHECKPOINTS))
    if leftovers and not resume:
        raise ConfigError(
            f"An interrupted run for {output.path} is there. Continue it with --resume, or remove {output.workspace} "
            "to start over."
        )


def check_replaceable(output: Destination, product: Product) -> None:
    """Refuse to replace what was finished or is no such product.

    Raises:
        ConfigError: something complete or of another kind is there.
    """
    check_output(output.path, product)
    if output.path.exists() and not output.overwrite:
        raise ConfigError(
            f"{output.path} exists: that run is complete. Name another --to, or replace it with --overwrite."
        )


def clear_workspace(folder: Path) -> None:
    """Remove the checkpoints of a run that is complete, and their folder unless something else lies in it."""
    for checkpoint in folder.glob(CHECKPOINTS):
        remove_partials(checkpoint)
        checkpoint.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()
