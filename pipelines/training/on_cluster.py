"""Training on a Ray cluster: Ray Train's TorchTrainer around the processes that train together.

Its workers do what `take_part` does, the first one writes checkpoints to the folder beside the bundle, which all nodes
see, or to a bucket (`in_bucket`). When a worker or its node dies, the others are ended, new ones take their places, and
go on from the last checkpoint. In the end the checkpoints are those of complete runs: the command that was started
takes the weights from there, and writes, tracks and registers the bundle as it does without a cluster. So what is in it
depends on the workers only as far as training does: not at all, where batches are cut into leaves
(`recsys_vae.training.leaves`).
"""

import os
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from pipelines.cluster.connection import Cluster, Node
from pipelines.cluster.versions import check_expected, versions
from pipelines.cluster.waiting import job_of, wait_until
from pipelines.cluster.work import Raised
from pipelines.simulation.places import Place
from recsys_vae.errors import ConfigError, LostProcessError, RecsysError, UnavailableError, in_a_line
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.leaves import LEAVES
from recsys_vae.training.parallel import Group

Part: TypeAlias = Callable[..., None]
"""What a worker does, given its `group`; a function of a module, or a partial of one, so that it can be sent."""
RESTARTS: Final = 30
"""How often workers are replaced before the run is given up."""
PATIENCE: Final = 600
"""Seconds after which a worker that does not answer counts as lost."""
ROOM: Final = 600
"""Seconds that a trainer waits for processors, before another one does."""
NO_ROOM, LOST_AT_START = "WorkerGroupStartupTimeoutError", "WorkerGroupStartupFailedError"
"""Errors of Ray Train that it does not export."""
REFUSED, RAY = "refused.json", "ray"
"""In the folder of the checkpoints: what a worker raised on purpose, and where Ray keeps its own state."""


@dataclass(frozen=True)
class Workers:
    """The workers of a run.

    Attributes:
        count: of them.
        cpus: processors of each.
        gpu: whether each has a GPU to itself.
    """

    count: int
    cpus: int
    gpu: bool


def workers_on(cluster: Cluster, asked: int | None, training: TrainingConfig) -> Workers:
    """As many workers as are asked for, else as leaves and processors allow, and a processor for each of their leaves.

    Raises:
        ConfigError: the cluster has too few processors.
    """
    leaves = training.leaves or LEAVES
    count = asked or min(leaves, 1 << (cluster.cpus.bit_length() - 1))
    if count > cluster.cpus:
        raise ConfigError(
            f"{count} workers want a processor each, and the nodes of {cluster.address} offer {cluster.cpus}. Ask for "
            "fewer --workers: the bundle is the same."
        )
    each = max(1, leaves // count) if training.leaves else 1
    while each > 1 and sum(_fit(node, each) for node in cluster.nodes) < count:
        each //= 2
    return Workers(count, each, training.device.startswith("cuda"))


def _fit(node: Node, cpus: int) -> int:
    return node.cpus // cpus


def train_there(workers: Workers, part: Part, folder: Path, shared: str = "") -> None:
    """Let workers carry out their part to the end, whatever dies on the way.

    Args:
        part: goes on from the checkpoints where there are any.
        folder: of the checkpoints, on this machine.
        shared: a place that every node sees: an address of a bucket, by default the folder.

    Raises:
        RecsysError: what a worker raised on purpose.
        UnavailableError: workers were lost again and again.
    """
    os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")  # relative paths stay what they are
    os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", str(ROOM))
    with_own, place = folder / RAY, Place(shared or str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    place.remove(REFUSED)
    told = None
    try:
        _fit_in_a_thread(partial(_trainer, workers, part, folder, place), partial(_wanted, workers))
    finally:
        told = place.read_json(REFUSED)
        place.remove(REFUSED)
        shutil.rmtree(with_own, ignore_errors=True)
    if told is not None:
        raise Raised(**told).error()


def _trainer(workers: Workers, part: Part, folder: Path, place: Place) -> Any:
    from ray import train
    from ray.train import LoggingConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    FailureConfig: Any = train.FailureConfig  # known to type checkers as those of ray.air
    RunConfig: Any = train.RunConfig

    return TorchTrainer(
        _work,
        train_loop_config={"part": part, "place": place, "versions": dict(versions())},
        torch_config=TorchConfig("cpu:gloo,cuda:nccl" if workers.gpu else "gloo", timeout_s=PATIENCE),
        scaling_config=ScalingConfig(
            num_workers=workers.count, use_gpu=workers.gpu, resources_per_worker=_resources(workers)
        ),
        run_config=RunConfig(
            name="training",
            storage_path=str(folder / RAY),
            # A worker group that has failed to start keeps its processors from the next one of this trainer.
            failure_config=FailureConfig(max_failures=RESTARTS, controller_failure_limit=0),
            logging_config=LoggingConfig(log_level="ERROR"),
        ),
    )


def _resources(workers: Workers) -> dict[str, float]:
    return {"CPU": float(workers.cpus)} | ({"GPU": 1.0} if workers.gpu else {})


def _fit_in_a_thread(begin: Callable[[], Any], wanted: Callable[[], str]) -> None:
    """Wait for a trainer; in the main thread it would take over Ctrl-C, and the process with it.

    A worker that is lost as its group starts, or just as it is asked how far it is, Ray Train takes for a failure of
    its own: then another trainer goes on. So does one where Ray Train's own process is lost.

    Args:
        begin: makes a trainer.
        wanted: what it is waiting for, to be told.
    """
    from ray.exceptions import RayActorError
    from ray.train import TrainingFailedError

    runner, restarts = ThreadPoolExecutor(1, "ray-train"), 0
    try:
        while True:
            _give_back_processors()
            fit = runner.submit(begin().fit)
            try:
                wait_until(partial(_is_over, fit), wanted)
                fit.result()
                return
            except (TrainingFailedError, RayActorError) as error:
                failure = error if isinstance(error, RayActorError) else getattr(error, "controller_failure", None)
                if restarts == RESTARTS or failure is None:
                    raise UnavailableError(
                        f"Workers of the training were lost {RESTARTS} times over: {in_a_line(error)[-300:]} Look into "
                        "the logs of the cluster's nodes; --resume goes on from the last checkpoint."
                    ) from error
                if not _is_for_another(failure):
                    raise UnavailableError(
                        f"Ray Train has given up: {in_a_line(error)[-300:]} --resume goes on from the last checkpoint."
                    ) from error
                restarts += type(failure).__name__ != NO_ROOM
    finally:
        runner.shutdown(wait=False, cancel_futures=True)


def _is_over(fit: "Future[Any]", seconds: float) -> bool:
    return bool(wait([fit], timeout=seconds).done)


def _is_for_another(failure: Exception) -> bool:
    """Whether another trainer can go on where one has failed."""
    from ray.exceptions import RayActorError

    return isinstance(failure, RayActorError) or type(failure).__name__ in (NO_ROOM, LOST_AT_START)


def _wanted(workers: Workers) -> str:
    """What a trainer waits for; empty where it does not wait."""
    if "PENDING" not in _groups_of_this_job().values():
        return ""
    each = f"{workers.cpus} processor{'s' * (workers.cpus > 1)}" + " and a GPU" * workers.gpu
    return f"{workers.count} workers of {each} each" if workers.count > 1 else f"a worker of {each}"


def _give_back_processors() -> None:
    """Remove placement groups that an earlier trainer has left, which hold their processors as long as this job lasts.

    Ray Train forgets those of workers that were lost while they were set up.
    """
    import ray
    from ray.util import remove_placement_group
    from ray.util.placement_group import PlacementGroup

    for name, state in _groups_of_this_job().items():
        if state != "REMOVED":
            remove_placement_group(PlacementGroup(ray.PlacementGroupID(bytes.fromhex(name))))


def _groups_of_this_job() -> dict[str, str]:
    """State of each placement group, by its id; only trainers make any."""
    import ray
    from ray.util import placement_group_table

    own = ray.get_runtime_context().get_job_id()
    return {name: one["state"] for name, one in placement_group_table().items() if job_of(name) == own}


def _work(told: Mapping[str, Any]) -> None:
    """What each worker does."""
    import ray.train

    if told["place"].read_json(REFUSED) is not None:  # another worker has said why there is nothing to go on with
        return
    context = ray.train.get_context()
    group = Group(context.get_world_rank(), context.get_world_size(), context.get_local_rank())
    try:
        check_expected(told["versions"])
        told["part"](group=group)
    except LostProcessError:
        raise
    except RecsysError as error:
        told["place"].write_json(REFUSED, Raised.of(error)._asdict())
        raise
