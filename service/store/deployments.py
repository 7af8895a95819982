"""Deployments: what is in service, in the one place that every worker and every replica looks at."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import TypeAdapter
from sqlalchemy import BigInteger, ColumnElement, Row, case, cast, delete, extract, func, insert, select
from sqlalchemy.exc import IntegrityError

from service import timestamps
from service.errors import ConflictError
from service.store.bulk_insert import INSERTS
from service.store.database import Database
from service.store.tables import DEPLOYMENTS, REPLICAS


@dataclass(frozen=True)
class Part:
    """A variant as it is written down.

    Attributes:
        name: of the variant.
        weight: its share of the users, relative to the other weights.
        source: where its bundle was taken from: a directory, links followed, or the version of a registered model.
        version: of the bundle.
    """

    name: str
    weight: float
    source: str
    version: str


@dataclass(frozen=True)
class Plan:
    """What is to be in service.

    Attributes:
        parts: the variants, the first one first.
        aliases: what the aliases in the settings named when this was made: address, version's address.
        interleaved: names of two variants whose users get lists that both draft; empty for none.
    """

    parts: tuple[Part, ...]
    aliases: tuple[tuple[str, str], ...] = ()
    interleaved: tuple[str, ...] = ()

    def serves_as(self, other: "Plan") -> bool:
        """Whether both answer everybody alike, wherever their bundles were taken from."""
        return self.interleaved == other.interleaved and [
            (part.name, part.weight, part.version) for part in self.parts
        ] == [(part.name, part.weight, part.version) for part in other.parts]


@dataclass(frozen=True)
class Deployment:
    """A plan that was put in service.

    Attributes:
        generation: 1 for the first; the largest one is in service.
        plan: what it is.
        previous: the generation that a rollback goes back to; None for none.
        created_at: in microseconds since 1970, UTC.
    """

    generation: int
    plan: Plan
    previous: int | None
    created_at: int


class Replicas(NamedTuple):
    """Who answers from a store.

    Attributes:
        running: processes that do.
        behind: those among them that still answer with something older.
    """

    running: int
    behind: int


SILENT_SECONDS = 15
"""A replica that has not been heard of for so long has died; each is heard of every few seconds."""
# By the clock of the database: every replica may have another one.
_SECONDS: dict[str, ColumnElement[int]] = {
    "sqlite": cast(func.strftime("%s", "now"), BigInteger),
    "postgresql": cast(extract("epoch", func.clock_timestamp()), BigInteger),
}
PLAN: TypeAdapter[Plan] = TypeAdapter(Plan)
"""What a newer version adds to a plan is passed over: while replicas are upgraded, both versions read it."""


class DeploymentTable:
    """The record of what was in service; every method may raise UnavailableError: the store does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def active(self) -> Deployment | None:
        """What is in service now; None before anything was."""
        query = select(DEPLOYMENTS).order_by(DEPLOYMENTS.c.generation.desc()).limit(1)
        with self._database.looking_up() as connection:
            found = connection.execute(query).first()
        return None if found is None else _deployment(found)

    def get(self, generation: int) -> Deployment | None:
        """What was in service under this number."""
        with self._database.looking_up() as connection:
            found = connection.execute(select(DEPLOYMENTS).where(DEPLOYMENTS.c.generation == generation)).first()
        return None if found is None else _deployment(found)

    def from_generation(self, generation: int) -> list[Deployment]:
        """What was in service from this number on, oldest first."""
        query = select(DEPLOYMENTS).where(DEPLOYMENTS.c.generation >= generation).order_by(DEPLOYMENTS.c.generation)
        with self._database.looking_up() as connection:
            return [_deployment(row) for row in connection.execute(query)]

    def add(self, plan: Plan, after: int, previous: int | None) -> Deployment:
        """Put a plan in service for everybody.

        Args:
            plan: what is to be in service.
            after: the generation that it replaces; 0 for none.
            previous: the generation that a rollback is to go back to.

        Raises:
            ConflictError: another generation than `after` is in service.
        """
        made = Deployment(after + 1, plan, previous, timestamps.now())
        row = {"generation": made.generation, "previous": previous, "plan": PLAN.dump_json(plan).decode()}
        try:
            with self._database.writing() as connection:
                last = connection.execute(select(func.max(DEPLOYMENTS.c.generation))).scalar() or 0
                if last != after:
                    raise _superseded(after)
                connection.execute(insert(DEPLOYMENTS).values(**row, created_at=made.created_at))
        except IntegrityError:  # on PostgreSQL, both may find the same last one
            raise _superseded(after) from None
        return made

    def note_replica(self, replica: str, generation: int) -> None:
        """Write down that a replica answers with a generation, and runs; those that fell silent are dropped."""
        with self._database.writing() as connection:
            now = connection.execute(select(_SECONDS[connection.dialect.name])).scalar_one()
            told = {"generation": generation, "seen_at": now}
            added = INSERTS[connection.dialect.name](REPLICAS).values(replica=replica, **told)
            connection.execute(added.on_conflict_do_update(index_elements=[REPLICAS.c.replica], set_=told))
            connection.execute(delete(REPLICAS).where(REPLICAS.c.seen_at < now - SILENT_SECONDS))

    def drop_replica(self, replica: str) -> None:
        """Write down that a replica has stopped."""
        with self._database.writing() as connection:
            connection.execute(delete(REPLICAS).where(REPLICAS.c.replica == replica))

    def replicas(self, generation: int) -> Replicas:
        """Who answers from this store, and who not yet with a generation or a later one."""
        with self._database.looking_up() as connection:
            is_alive = REPLICAS.c.seen_at >= _SECONDS[connection.dialect.name] - SILENT_SECONDS
            query = select(func.count(), func.count(case((REPLICAS.c.generation < generation, 1)))).where(is_alive)
            return Replicas(*connection.execute(query).one())


def _deployment(row: Row[Any]) -> Deployment:
    return Deployment(row.generation, PLAN.validate_json(row.plan), row.previous, row.created_at)


def _superseded(after: int) -> ConflictError:
    return ConflictError(
        "superseded",
        f"Something else was put in service after generation {after}, which this was to replace. Look at "
        "GET /v1/admin/deployment, and ask again if it is still wanted.",
    )
