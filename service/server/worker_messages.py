"""What a worker process tells its supervisor."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Opened:
    """What a worker tells once it answers: `title` says what with."""

    title: str


@dataclass(frozen=True)
class Failed:
    """What a worker tells when it cannot start."""

    message: str
