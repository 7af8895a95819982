"""Histories: the stored histories of users, kept in memory and never older than what the store has acknowledged.

Every request asks the store for the user's version, one look-up by key; only another version than the one in memory
costs the history itself. So whichever process took an event, the next answer of every process knows it.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from threading import Lock

from recsys_vae.data.signal_rules import SignalRules
from recsys_vae.errors import UnavailableError
from service.store.events import EventStore
from service.store.user_history import UserHistory

CAPACITY = 500_000
"""Events that are held, of all users together: about 250 bytes each, with the history that they make."""


class Histories:
    """A cache of histories, least recently asked for first out; safe to use from several threads.

    Args:
        store: which is asked on every request.
        capacity: events held at most, of all users together.
        on_look_up: told of each history that is asked for, and whether it was held.
    """

    def __init__(
        self,
        store: EventStore,
        capacity: int = CAPACITY,
        on_look_up: Callable[[bool], None] = lambda is_hit: None,
    ) -> None:
        self._store = store
        self._capacity = capacity
        self._held: OrderedDict[str, UserHistory] = OrderedDict()
        self._n_events = 0
        self._lock = Lock()
        self._on_look_up = on_look_up

    def history(self, user_id: str, until: int | None = None) -> UserHistory:
        """What is known of a user now; empty for a user who was never seen.

        Args:
            user_id: who.
            until: the history as it was after the event of this sequence; read from the store.

        Raises:
            UnavailableError: the store does not answer, so nobody knows whether what is held is up to date.
        """
        if until is not None:
            return self._store.history(user_id, until)
        version = self._store.version_at_once(user_id)
        with self._lock:
            held = self._held.get(user_id)
            is_hit = held is not None and held.version == version
            if is_hit:
                self._held.move_to_end(user_id)
        self._on_look_up(is_hit)
        if held is not None and is_hit:
            return held
        fresh = self._store.history(user_id) if version else UserHistory()
        with self._lock:
            self._keep(user_id, fresh)
        return fresh

    def at_hand(self, user_id: str, rules: Iterable[SignalRules]) -> UserHistory | None:
        """What is known of a user now, where nothing has to be waited for, and these rules were applied to it already;
        else None.
        """  # fmt: skip
        try:
            version = self._store.version_at_hand(user_id)
        except UnavailableError:
            return None
        with self._lock:
            held = self._held.get(user_id) if version else UserHistory()
            if version is None or held is None or held.version != version or not all(map(held.is_under, rules)):
                return None
            if version:
                self._held.move_to_end(user_id)
        self._on_look_up(version > 0)
        return held

    def forget(self, user_id: str) -> None:
        """Hold nothing about a user any more."""
        with self._lock:
            self._drop(user_id)

    def _keep(self, user_id: str, history: UserHistory) -> None:
        self._drop(user_id)
        if not len(history.events) or len(history.events) > self._capacity:
            return
        self._held[user_id] = history
        self._n_events += len(history.events)
        while self._n_events > self._capacity:
            self._drop(next(iter(self._held)))

    def _drop(self, user_id: str) -> None:
        dropped = self._held.pop(user_id, None)
        if dropped is not None:
            self._n_events -= len(dropped.events)
