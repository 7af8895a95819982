"""What a worker process tells its supervisor."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Opened:
    """What a worker tells once it answers.

    Attributes:
        title: says what with.
        store: address of the event store, without its password.
    """

    title: str
    store: str


@dataclass(frozen=True)
class Failed:
    """What a worker tells when it cannot start."""

    message: str
