"""Settings of hybrid encoders: what they mean is told in `models/hybrid.py`."""

from dataclasses import dataclass

from recsys_vae.errors import ConfigError

OF_METADATA = frozenset({"metadata_dropout"})
"""Settings that have an effect only where metadata of users are taken."""


@dataclass(frozen=True, kw_only=True)
class HybridOptions:
    """Which metadata an encoder takes; by default none.

    Attributes:
        user_metadata: whether it takes those of the user.
        item_metadata: whether it takes those of the items in the history.
        metadata: columns of each field of the users, as the dataset's schema has them; filled in by training.
        metadata_dropout: how often a field of the user, and all fields together, go missing in training.
    """

    user_metadata: bool = False
    item_metadata: bool = False
    metadata: tuple[int, ...] = ()
    metadata_dropout: float = 0.1

    def __post_init__(self) -> None:
        if min(self.metadata, default=0) < 0 or not 0 <= self.metadata_dropout < 1:
            raise ConfigError(
                "metadata are numbers of columns, and metadata_dropout is a share, 0 <= metadata_dropout < 1; got "
                f"{self.metadata} and {self.metadata_dropout}."
            )
