"""Tune on a cluster: trials that were drawn together are measured side by side."""

from collections.abc import Iterator, Mapping, Sequence

from pipelines.cluster.connection import Cluster
from pipelines.cluster.work import call_all, share
from pipelines.tuning.measure import Spread, Task, TrialRun, measure
from recsys_vae.models.search_space import Value


def spread_on(cluster: Cluster) -> Spread:
    """What measures trials for `tune`: calls on a cluster."""

    def spread(task: Task, settings: Sequence[Mapping[str, Value]], best: float | None) -> Iterator[TrialRun]:
        given = share(task)
        return call_all(cluster, measure, [(given, one, best) for one in settings])

    return spread
