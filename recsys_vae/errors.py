"""Every error that recsys_vae raises on purpose.

Each message says what was wrong, what was expected, and what to do about it. The command line prints it and exits with
status 1; the service turns it into an RFC 9457 problem. Anything else that surfaces is a defect of ours.

    RecsysError
    ├── DataError                a table or matrix breaks its contract
    │   ├── SchemaError          a column is missing or has the wrong type
    │   └── EmptyDataError       nothing is left to work with
    ├── ConfigError              a setting, option or argument is out of its range
    │   ├── UnknownNameError     a name (model, dataset, split, metric ...) that nothing answers to
    │   └── StorageError         an output cannot be written: the disk is full, the folder read-only
    ├── BundleError              a bundle cannot be used
    │   ├── BundleCorruptError   a file is missing, truncated or altered
    │   └── BundleVersionError   written in a format that this version does not read
    ├── TrainingError            a run cannot go on: the loss is no longer a number
    │   └── LostProcessError     another process of the run has ended, or does not answer
    ├── CheckpointError          a checkpoint is unreadable or belongs to another run
    ├── ModelError               a model is asked for something that it cannot do, or not yet
    ├── RetrievalError           an index cannot be built, or misses its target
    ├── PluginError              another distribution adds a model that is broken, or takes a name that is taken
    ├── BusyError                another process works on the same output
    ├── MissingExtraError        something that is installed only on request is needed
    └── UnavailableError         something outside does not answer: the network, a store, a tracking server
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from recsys_vae.redaction import redacted


class RecsysError(Exception):
    """Root of the tree: catch it to catch everything that recsys_vae raises on purpose.

    Its message shows no secret, whatever was put into it.
    """

    def __str__(self) -> str:
        return redacted(super().__str__())


def fault_text(fault: Mapping[str, Any]) -> str:
    """What is wrong with a value that pydantic refuses, without the words it puts before those of our own checks."""
    return str(fault["msg"]).removeprefix("Value error, ")


def first_line(error: BaseException) -> str:
    """What an error of a library says, without the lines that follow; its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def in_a_line(error: BaseException) -> str:
    """All that an error of a library says, in one line."""
    return " ".join(str(error).split())


class DataError(RecsysError):
    """A table or matrix breaks its contract."""


class SchemaError(DataError):
    """A column is missing or has the wrong type."""


class EmptyDataError(DataError):
    """Nothing is left to work with."""


class ConfigError(RecsysError):
    """A setting, option or argument is out of its range."""


class UnknownNameError(ConfigError):
    """A name that nothing answers to; the message lists the names that exist and the one probably meant."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        close = get_close_matches(name, names, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        super().__init__(f"There is no {kind} named {name!r}.{hint} Known: {', '.join(names) or 'none yet'}.")


class BundleError(RecsysError):
    """A bundle cannot be used."""


class BundleCorruptError(BundleError):
    """A file of a bundle is missing, truncated or altered."""


class BundleVersionError(BundleError):
    """A bundle was written in a format that this version does not read."""


class TrainingError(RecsysError):
    """A training run cannot go on."""


class LostProcessError(TrainingError):
    """Another process of a training run has ended, or does not answer."""


class CheckpointError(RecsysError):
    """A checkpoint is unreadable or belongs to another run."""


class ModelError(RecsysError):
    """A model is asked for something that it cannot do, or not yet: to sample before its prior is fitted."""


class PluginError(RecsysError):
    """Another distribution adds a model that is broken, or whose name is taken; the message names the distribution."""


class RetrievalError(RecsysError):
    """An index cannot be built, or misses its target."""


class UnavailableError(RecsysError):
    """Something outside does not answer: the network, a store, a tracking server."""


class StorageError(ConfigError):
    """An output cannot be written: the disk is full, or the folder is read-only."""


class BusyError(RecsysError):
    """Another process works on the same output, and two would spoil each other's work."""


class MissingExtraError(RecsysError):
    """A module is needed that comes with an extra, and it is not installed."""

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(
            f"This needs {module}, which is not installed. Install it: pip install 'recsys-vae[{extra}]', or "
            "'recsys-vae[all,cpu]' for everything."
        )
