"""Plans of sequential tests, written down when one begins: what is looked at, from when on, and at which error rate.

They are never changed. What was seen is not kept here: it is counted again from lists and events at every look.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from pydantic import TypeAdapter
from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError

from service import timestamps
from service.errors import ConflictError
from service.store.database import Database
from service.store.tables import LIVE_TESTS

Kind = Literal["split", "interleaving"]
Metric = Literal["click-through", "clicked-per-user", "credited-clicks"]


@dataclass(frozen=True)
class Plan:
    """What a test was planned as.

    Attributes:
        kind: whether users are split over the variants, or lists are drafted from both.
        base: the variant that is in place.
        challenger: the one that may take it.
        since: first moment of a list that counts, in microseconds since 1970, UTC.
        generation: the deployment that the lists are of; they count until something else is in service.
        metric: what is compared.
        event_type: of the events that count as clicks; None for all.
        alpha: largest chance of deciding for either side while both are equal, however often one looks.
        effect: relative difference that is worth finding; tunes where the interval is narrowest.
        least: users, and clicks, that each side needs before anything is decided.
    """

    kind: Kind
    base: str
    challenger: str
    since: int
    generation: int
    metric: Metric
    event_type: str | None
    alpha: float
    effect: float
    least: int

    def is_about(self, kind: Kind, base: str, challenger: str) -> bool:
        """Whether it compares these two in this way."""
        return (self.kind, self.base, self.challenger) == (kind, base, challenger)


class Recorded(NamedTuple):
    """A plan as it stands in the store.

    Attributes:
        number: 1 for the first.
        plan: as it was made.
        created_at: in microseconds since 1970, UTC.
    """

    number: int
    plan: Plan
    created_at: int


PLAN: TypeAdapter[Plan] = TypeAdapter(Plan)


class LiveTestTable:
    """The record of plans; every method may raise UnavailableError: the store does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[Recorded]:
        """Every plan, oldest first."""
        with self._database.looking_up() as connection:
            rows = connection.execute(select(LIVE_TESTS).order_by(LIVE_TESTS.c.number)).all()
        return [Recorded(row.number, PLAN.validate_json(row.plan), row.created_at) for row in rows]

    def add(self, plan: Plan) -> Recorded:
        """Write a plan down.

        Raises:
            ConflictError: another one is written down at this moment.
        """
        try:
            with self._database.writing() as connection:
                last = connection.execute(select(func.max(LIVE_TESTS.c.number))).scalar() or 0
                made = Recorded(last + 1, plan, timestamps.now())
                row = {"number": made.number, "plan": PLAN.dump_json(plan).decode(), "created_at": made.created_at}
                connection.execute(insert(LIVE_TESTS).values(row))
        except IntegrityError:
            raise ConflictError("superseded", "Another plan was written down at this moment. Look again.") from None
        return made
