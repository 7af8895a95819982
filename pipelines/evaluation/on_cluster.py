"""Evaluate on a cluster: batches of users are measured by actors; all figures are equal."""

from collections.abc import Iterator

import numpy as np

from pipelines.cluster.actors import actors
from pipelines.cluster.connection import Cluster
from pipelines.cluster.work import share
from recsys_vae.evaluation.evaluate import Measured, Questions, Spread, measured
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.protocols import Int64Array, Scorer


class Measuring:
    """Measures batches of users, of what it was given once."""

    def __init__(self, model: Scorer, held_out: HeldOut, asked: Questions) -> None:
        self._model, self._held_out, self._asked = model, held_out, asked

    def __call__(self, rows: Int64Array) -> Measured:
        """What comes out for some users."""
        return next(measured(self._model, self._held_out, self._asked, iter([np.array(rows)])))


def spread_on(cluster: Cluster) -> Spread:
    """What measures batches for `evaluate`: actors on a cluster."""

    def spread(model: Scorer, held_out: HeldOut, asked: Questions, batches: Iterator[Int64Array]) -> Iterator[Measured]:
        given = [share(one) for one in (model, held_out, asked)]
        with actors(cluster, Measuring, *given) as found:
            yield from found.ask_all((rows,) for rows in batches)

    return spread
