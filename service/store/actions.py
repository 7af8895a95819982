"""Who did what: changes of items, reloads and rollbacks that were asked for, with the name of the key that asked."""

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, delete, insert, select

from recsys_vae.errors import UnavailableError
from service import timestamps
from service.store.database import Database
from service.store.group_commit import GroupCommit
from service.store.tables import ACTIONS

LONGEST_DETAIL: Final = 4_000
"""Characters of a detail; values of a longer one are left out, and its names stay."""
LARGEST_GROUP: Final = 1_000
"""Actions that are noted in one transaction."""
INSERT: Final = insert(ACTIONS)
Row = dict[str, Any]
"""Of the table of actions."""

logger = logging.getLogger("recsys.service")


class Action(NamedTuple):
    """What somebody did.

    Attributes:
        sequence: grows with every action.
        actor: name of the key that asked.
        action: such as `change-item`, `change-items`, `reload`, `roll-back`.
        subject: what it was done to, such as `item:318`, `items`, `deployment`.
        detail: what else there is to say.
        request_id: of the request that asked.
        done_at: in microseconds since 1970, UTC.
    """

    sequence: int
    actor: str
    action: str
    subject: str
    detail: dict[str, Any]
    request_id: str
    done_at: int


class ActionLog:
    """The record of actions, safe to use from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._groups = GroupCommit(self._write, lambda row: 1, LARGEST_GROUP)

    def note(self, actor: str, action: str, subject: str, detail: Mapping[str, Any], request_id: str) -> None:
        """Write down what was done. Where the store does not take it, the process's log does: it is done all the same.

        Args:
            actor: name of the key that asked.
            action: what was done.
            subject: to what; `user:ID` for a user, and for nothing else.
            detail: what JSON holds; it names no users.
            request_id: of the request that asked.
        """
        row = row_of(actor, action, subject, detail, request_id)
        try:
            self._groups.submit(row)
        except UnavailableError:
            logger.warning("The store took no note of an action: %s", json.dumps(row))

    def latest(
        self, n: int, before: int | None = None, subject: str | None = None, action: str | None = None
    ) -> list[Action]:
        """The last `n` actions, latest first.

        Args:
            n: how many at most.
            before: only those of smaller sequences.
            subject: only those of this subject.
            action: only those of this name.

        Raises:
            UnavailableError: the store does not answer.
        """
        query = select(*(ACTIONS.c[name] for name in Action._fields))
        if before is not None:
            query = query.where(ACTIONS.c.sequence < before)
        for name, wanted in (("subject", subject), ("action", action)):
            if wanted is not None:
                query = query.where(ACTIONS.c[name] == wanted)
        with self._database.looking_up() as connection:
            rows = connection.execute(query.order_by(ACTIONS.c.sequence.desc()).limit(n)).all()
        return [Action(**row._asdict() | {"detail": json.loads(row.detail)}) for row in rows]

    def _write(self, rows: Sequence[Row]) -> list[None]:
        with self._database.writing() as connection:
            write(connection, rows)
        return [None] * len(rows)


def row_of(actor: str, action: str, subject: str, detail: Mapping[str, Any], request_id: str) -> Row:
    """What is written down of an action that is done now; arguments as those of `ActionLog.note`."""
    return {
        "actor": actor, "action": action, "subject": subject, "detail": _as_json(detail),
        "request_id": request_id, "done_at": timestamps.now(),
    }  # fmt: skip


def write(connection: Connection, rows: Sequence[Row]) -> None:
    """Write actions down in the transaction that does them."""
    if rows:
        connection.execute(INSERT, rows)


def erase_actions(connection: Connection, user_id: str) -> int:
    """Forget what was done to a user who is being erased; say how much it was."""
    return connection.execute(delete(ACTIONS).where(ACTIONS.c.subject == f"user:{user_id}")).rowcount


def _as_json(detail: Mapping[str, Any]) -> str:
    text = json.dumps(detail)
    if len(text) <= LONGEST_DETAIL:
        return text
    short = json.dumps(dict.fromkeys(detail, "…"))
    return short if len(short) <= LONGEST_DETAIL else json.dumps({"left_out": len(detail)})
