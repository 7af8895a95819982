"""Splits: what a model may learn from, and what it is asked afterwards."""

from dataclasses import dataclass, field

from scipy.sparse import csr_array

from recsys_vae.errors import DataError
from recsys_vae.ids import IdMap
from recsys_vae.interactions import Interactions, check_histories


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Users who are asked: what the model is shown of them, and what it should find.

    Attributes:
        users: external ids of the rows.
        histories: shown to the model and removed from its lists, shape (n_users, n_items).
        targets: to be found; disjoint from the histories, shape (n_users, n_items). A row may be empty: such users are
            left out of every mean, and counted.
    """

    users: IdMap
    histories: csr_array
    targets: csr_array

    def __post_init__(self) -> None:
        if self.histories.shape != self.targets.shape or self.histories.shape[0] != len(self.users):
            raise DataError(
                f"Histories {self.histories.shape}, targets {self.targets.shape} and {len(self.users)} user ids differ."
            )
        check_histories(self.histories, self.histories.shape[1])
        check_histories(self.targets, self.targets.shape[1])


@dataclass(frozen=True, eq=False)
class Split:
    """One dataset, cut in parts over one item catalogue (the items of the training part).

    Attributes:
        protocol: `strong`, `temporal`, `last-out` or `given`.
        train: what models learn from while hyperparameters are chosen.
        validation: what hyperparameters are chosen on.
        test: what is reported; read once a reported model.
        refit: what the reported model is trained on again once its hyperparameters are chosen, where that is more than
            `train` (`given`: the whole published training file); None where the chosen model is reported as it is.
        counts: users, items and interactions that were left out, by reason, for the summary.
    """

    protocol: str
    train: Interactions
    validation: HeldOut
    test: HeldOut
    refit: Interactions | None = None
    counts: dict[str, int] = field(default_factory=dict)
