"""What users have done, event by event, and the history that the rules of a bundle make of it.

The store keeps what came: kind, value and time. What that says of taste is a bundle's to decide (`data.signals`), and
two variants in service may decide it differently. So the events are what is read and held, and a history is made of
them once for each set of rules.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import compress
from math import inf
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # who supervises workers reads the store's files, and loads nothing that computes
    from recsys_vae.data.histories import History
    from recsys_vae.data.signals import SignalRules


@dataclass(frozen=True, slots=True)
class UserEvents:
    """Events of one user, least recent first; a column each.

    Attributes:
        item_ids: with what.
        kinds: how; None where it is not known.
        values: how much; None where nobody said: such an event counts as 1, and is not held against the bound below
            which a value is a dislike.
        times: microseconds since 1970; None where unknown.
        are_final: whether the value is the signed weight already, as datasets have it: no rule of kinds and values is
            applied to it.
    """

    item_ids: tuple[str, ...] = ()
    kinds: tuple[str | None, ...] = ()
    values: tuple[float | None, ...] = ()
    times: tuple[int | None, ...] = ()
    are_final: tuple[bool, ...] = ()

    def __len__(self) -> int:
        return len(self.item_ids)

    @classmethod
    def of_ids(cls, item_ids: Iterable[str]) -> "UserEvents":
        """Items that were liked; nothing more is known."""
        ids = tuple(item_ids)
        unknown = (None,) * len(ids)
        return cls(ids, unknown, unknown, unknown, (False,) * len(ids))

    def only(self, kept: Iterable[Any]) -> "UserEvents":
        """Those of which something true is said, in their order."""
        wanted = [*kept]
        columns: tuple[tuple[Any, ...], ...] = (self.item_ids, self.kinds, self.values, self.times, self.are_final)
        return UserEvents(*(tuple(compress(column, wanted)) for column in columns))

    def then(self, later: "UserEvents") -> "UserEvents":
        """These events and some that came after all of them, at the time of the latest where theirs is unknown."""
        latest = max((time for time in (*self.times, *later.times) if time is not None), default=None)
        return self.plus(replace(later, times=tuple(latest if time is None else time for time in later.times)))

    def plus(self, others: "UserEvents") -> "UserEvents":
        """These events, and others behind them."""
        return UserEvents(
            self.item_ids + others.item_ids,
            self.kinds + others.kinds,
            self.values + others.values,
            self.times + others.times,
            self.are_final + others.are_final,
        )


NOTHING = UserEvents()


@dataclass(frozen=True)
class UserHistory:
    """What a user has done.

    Attributes:
        events: by time, then as they came; those without a time first.
        sequence: of the event that came last; 0 where there is none.
        version: two histories of one user with equal versions are equal; 0 where the user is unknown.
    """

    events: UserEvents = NOTHING
    sequence: int = 0
    version: int = 0
    _made: "dict[SignalRules, History]" = field(default_factory=dict, init=False, repr=False, compare=False)

    def under(self, rules: "SignalRules") -> "History":
        """The history that these rules make of it; not to be written to."""
        found = self._made.get(rules)
        if found is None:
            found = self._made[rules] = history_of(self.events, rules)
        return found

    def is_under(self, rules: "SignalRules") -> bool:
        """Whether that has been made."""
        return rules in self._made or not len(self.events)

    @cached_property
    def history(self) -> "History":
        """The history where there are no rules: the last event with an item stands for it."""
        from recsys_vae.data.signals import SignalRules

        return self.under(SignalRules())


def history_of(events: UserEvents, rules: "SignalRules") -> "History":
    """Signed weights by item, least recent first: what `signals.evidence` makes of events of one user."""
    weights = _weights(events, rules)
    if 0.0 in weights:  # what says nothing stands for nothing
        events, weights = events.only(weights), [weight for weight in weights if weight]
    if rules.keep == "last" and rules.half_life == inf:  # no arithmetic: it would only be slower
        return _latest({}, zip(events.item_ids, weights, strict=True))
    return _summed_up(events, weights, rules)


def liked_events(events: UserEvents, rules: "SignalRules") -> tuple[list[str], list[int | None]]:
    """Items and times of the events that speak for their item."""
    liked = [weight > 0 for weight in _weights(events, rules)]
    return list(compress(events.item_ids, liked)), list(compress(events.times, liked))


def joined(stored: UserHistory, sent: UserEvents, rules: "SignalRules") -> "History":
    """The history of stored events and of those that came with a request, which are more recent."""
    if not len(stored.events):
        return history_of(NOTHING.then(sent), rules)
    if rules.keep == "last" and rules.half_life == inf:
        return overlaid(stored.under(rules), history_of(sent, rules))
    return history_of(stored.events.then(sent), rules)


def overlaid(before: "History", later: "History") -> "History":
    """Both histories, each item as the later one has it."""
    return _latest(dict(before), later.items())


def _latest(history: dict[str, float], later: Iterable[tuple[str, float]]) -> dict[str, float]:
    for item_id, weight in later:
        history.pop(item_id, None)  # its last place counts
        history[item_id] = weight
    return history


def _weights(events: UserEvents, rules: "SignalRules") -> list[float]:
    """Signed weight of each event, age apart."""
    found: dict[tuple[str | None, float | None, bool], float] = {}
    weights: list[float] = []
    for asked in zip(events.kinds, events.values, events.are_final, strict=True):
        weight = found.get(asked)
        if weight is None:
            weight = found[asked] = _weight(*asked, rules)
        weights.append(weight)
    return weights


def _weight(kind: str | None, value: float | None, is_final: bool, rules: "SignalRules") -> float:
    if value is None:
        size = abs(rules.weight(kind, 1.0))
        return -size if kind in rules.dislikes else size
    return value if is_final else rules.weight(kind, value)


def _summed_up(events: UserEvents, weights: list[float], rules: "SignalRules") -> "History":
    import numpy as np

    from recsys_vae.data.signals import UNTIMED, evidence

    codes: dict[str, int] = {}
    items = np.array([codes.setdefault(item_id, len(codes)) for item_id in events.item_ids], dtype=np.int64)
    times = np.array([UNTIMED if time is None else time for time in events.times], dtype=np.int64)
    found = evidence(np.zeros_like(items), items, np.array(weights), times, rules)
    order, ids = np.argsort(found.places), list(codes)
    history = zip(map(ids.__getitem__, found.items[order].tolist()), found.weights[order].tolist(), strict=True)
    return dict(compress(history, found.weights[order].astype(bool)))
