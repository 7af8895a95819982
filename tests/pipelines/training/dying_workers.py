"""Workers that are killed in the middle of a training, for `test_on_cluster`; they import it by name."""

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipelines.training.train import take_part
from recsys_vae.errors import ConfigError
from recsys_vae.models.mult_vae import MultVAE
from recsys_vae.training.parallel import Group


def dying(kills: Path | str, times: int, *arguments: Any, group: Group, **options: Any) -> None:
    """Train as `take_part` does; the last process dies in its seventh loss, so often in all, and notes it."""
    kills = Path(kills)
    done = len(list(kills.iterdir()))
    if group.rank == group.size - 1 and done < times:
        loss, left = MultVAE.loss, [7]

        def last(self: MultVAE, *rows: Any, **others: Any) -> Any:
            left[0] -= 1
            if not left[0]:
                (kills / str(done)).touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return loss(self, *rows, **others)

        MultVAE.loss = last  # type: ignore[method-assign]
    take_part(*arguments, group=group, **options)


class DyingOnTheWay:
    """What kills the first worker that it is sent to, as its group starts."""

    def __init__(self, kills: Path) -> None:
        self._kills = kills

    def __reduce__(self) -> Any:
        return _arrive, (self._kills,)


def _arrive(kills: Path) -> None:
    import ray.train

    with suppress(FileExistsError, RuntimeError):
        ray.train.get_context().get_world_rank()  # raises RuntimeError in processes that are no workers
        (kills / "on the way").touch(exist_ok=False)
        os.kill(os.getpid(), signal.SIGKILL)


def idle(_: Any, *, group: Group) -> None:
    """Do nothing."""


def refusing(*_: Any, group: Group) -> None:
    """Raise what a worker raises on purpose."""
    raise ConfigError(f"process {group.rank} of {group.size} has a wrong setting")
