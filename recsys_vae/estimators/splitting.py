"""split: any data cut in parts by the name of a protocol."""

from typing import Any

from recsys_vae.errors import ConfigError, UnknownNameError
from recsys_vae.estimators.inputs import Data, as_interactions
from recsys_vae.estimators.order import order_of_data
from recsys_vae.evaluation.ordered_splits import Events, cut_points, last_out, temporal
from recsys_vae.evaluation.random_splits import strong
from recsys_vae.evaluation.splits import Split, with_order

PROTOCOLS = ("strong", "temporal", "last-out")


def split(data: Data | Events, protocol: str = "strong", *, seed: int | None = None, **settings: Any) -> Split:
    """Cut data in `train`, `validation` and `test`.

    Args:
        data: `strong` takes Interactions, a frame or a sparse matrix; `temporal` and `last-out` take Events.
        protocol: `strong` holds users out, `temporal` cuts at two moments, `last-out` asks for each user's last items.
        seed: of `strong`, which draws users; 0 when None.
        settings: of `random_splits.strong` (heldout, fold_in, min_items); of `temporal` the shares of events in
            `validation` and `test`, 0.1 each.

    Raises:
        UnknownNameError: there is no such protocol.
        ConfigError: a setting is out of its range, or not one of the protocol.
        DataError: the data are not what the protocol takes, or leave nothing.
    """
    if protocol not in PROTOCOLS:
        raise UnknownNameError("split", protocol, PROTOCOLS)
    allowed = {"strong": {"heldout", "fold_in", "min_items"}, "temporal": {"validation", "test"}, "last-out": set()}
    if unknown := settings.keys() - allowed[protocol]:
        raise UnknownNameError(f"setting of the split {protocol}", min(unknown), allowed[protocol])
    if protocol == "strong":
        cut, places = strong(as_interactions(data), seed=seed or 0, **settings), order_of_data(data)
        return cut if places is None else with_order(cut, places)
    if seed is not None:
        raise ConfigError(f"The split {protocol} draws nothing: leave seed out.")
    if not isinstance(data, Events):
        raise ConfigError(
            f"The split {protocol} goes by the order of events: give Events.from_frame(frame, user=, item=, time=)."
        )
    if protocol == "last-out":
        return last_out(data)
    shares = {"validation": 0.1, "test": 0.1} | settings
    validation_from, test_from = cut_points(data.order, **shares)
    return temporal(data, validation_from=validation_from, test_from=test_from)
