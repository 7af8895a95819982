"""Watching two variants: the plan, the sequence by days, what it says, and with what the command exits."""

from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from recsys_vae.errors import ConfigError, EmptyDataError, UnknownNameError
from service import timestamps
from service.experiments.ab_test import Choice, preference
from service.experiments.confidence_sequence import Verdict
from service.experiments.daily_counts import Window, clicked_lists, credited_clicks
from service.experiments.live_plan import Wish, find_or_record
from service.experiments.live_test import DAY, look
from service.store.deployments import DeploymentTable, Part, Plan
from service.store.events import Event, EventStore
from service.store.impressions import Impression, ImpressionTable
from service.store.live_tests import LiveTestTable, Recorded
from tests.service.places import Place

TWO = (Part("a", 1.0, "/a", "va"), Part("b", 1.0, "/b", "vb"))


@pytest.fixture
def store(place: Place) -> Iterator[EventStore]:
    with closing(place.open()) as store:
        yield store


def deploy(store: EventStore, plan: Plan, monkeypatch: pytest.MonkeyPatch, days_ago: float) -> None:
    """Put a plan in service, some days ago."""
    table, moment = DeploymentTable(store.database), timestamps.now() - int(days_ago * DAY)
    active = table.active()
    with monkeypatch.context() as patch:
        patch.setattr("service.store.deployments.timestamps.now", lambda: moment)
        table.add(plan, active.generation if active else 0, None)


def show(store: EventStore, variant: str, user: str, request: str, at: int, teams: tuple | None = None) -> None:
    row = Impression(request, user, variant, "v", True, ("x", "y"), at, teams=teams)
    ImpressionTable(store.database).add([row])


def click(store: EventStore, user: str, request: str, at: int | None, item: str = "x", kind: str = "click") -> None:
    store.take([Event(f"{user} {request} {item} {kind}", user, item, kind, 1.0, at, request)], "api")


def plan_of(store: EventStore, **wish: object) -> Recorded:
    return find_or_record(LiveTestTable(store.database), DeploymentTable(store.database), Wish(**wish))  # type: ignore[arg-type]


def filled(store: EventStore, n_users: int, *, better: bool, since: int) -> None:
    """Users of either variant, a list a day for three days; every second user of one variant clicks, no other one."""
    lists, clicks = [], []
    for number in range(2 * n_users):
        variant, user = "ab"[number % 2], f"u{number}"
        for day in range(3):
            at, name = since + day * DAY + 1, f"{user}.{day}"
            lists.append(Impression(name, user, variant, "v", True, ("x",), at))
            if (variant == "b") == better and number % 4 < 2:
                clicks.append(Event(name, user, "x", "click", 1.0, at + 1, name))
    ImpressionTable(store.database).add(lists)
    store.take(clicks, "api")


def test_counts_grow_day_by_day(store: EventStore) -> None:
    window = Window(("a", "b"), 1000, 1000 + 30, None, day=10, days=3)
    show(store, "a", "ann", "r1", 1001)
    show(store, "a", "ann", "r2", 1015)
    show(store, "a", "ann", "r2", 1022)  # sent again
    show(store, "a", "bob", "r3", 1025)
    show(store, "b", "cid", "r4", 1009)
    show(store, "b", "cid", "r5", 999)  # before it began
    show(store, "b", "dee", "r6", 1030)  # after the last day
    click(store, "ann", "r1", 1012)  # a day later
    click(store, "ann", "r1", 1025, "y")  # the same list
    click(store, "bob", "r3", None)  # nobody knows when: with the list
    click(store, "cid", "r4", 1999)  # not yet
    found = clicked_lists(store.database, window, per_user=False)
    assert (found["a"].users.tolist(), found["a"].x.tolist(), found["a"].y.tolist()) == (
        [1, 1, 2],
        [1, 2, 3],
        [0, 1, 2],
    )
    assert (found["b"].users.tolist(), found["b"].x.tolist(), found["b"].y.tolist()) == (
        [1, 1, 1],
        [1, 1, 1],
        [0, 0, 0],
    )
    assert found["a"].xx.tolist() == [1, 4, 5]
    by_user = clicked_lists(store.database, window, per_user=True)["a"]
    assert (by_user.x.tolist(), by_user.y.tolist()) == ([1, 1, 2], [0, 1, 2])


def test_clicks_on_interleaved_lists_are_credited_to_who_put_the_item_there(store: EventStore) -> None:
    show(store, "a+b", "ann", "r1", 5, ("a", "b"))
    show(store, "a+b", "ann", "r2", 15, ("b", None))
    show(store, "a+b", "bob", "r3", 15, ("b", "a"))
    show(store, "a+b", "bob", "r4", 15, ("a", "b"))
    show(store, "a+b", "bob", "r4", 15, ("b", "a"))  # sent again, and drafted otherwise
    for user, request, item in [("ann", "r1", "x"), ("ann", "r1", "y"), ("ann", "r2", "x"), ("ann", "r2", "y"),
                                ("bob", "r3", "x"), ("bob", "r4", "x"), ("bob", "r1", "x")]:  # fmt: skip
        click(store, user, request, None, item)
    # ann: one for a and one for b on the first day, one for b on the second; bob: one for b.
    found = credited_clicks(store.database, Window(("a+b",), 0, 20, None, day=10, days=2), "a", "b")
    assert (found.users.tolist(), found.x.tolist(), found.y.tolist()) == ([1, 2], [2, 4], [0, 2])
    assert (found.xx.tolist(), found.yy.tolist(), found.xy.tolist()) == ([4, 10], [0, 2], [0, 4])
    told = preference(store.database, "a+b", Choice())
    assert (told.names, told.users, told.credited) == (("a", "b"), 2, (1, 3))
    assert told.difference is not None
    assert told.difference.value == 0.5


def test_a_plan_is_recorded_once_and_not_changed(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    deploy(store, Plan(TWO[:1]), monkeypatch, 9)
    deploy(store, Plan(TWO), monkeypatch, 4)
    tried = plan_of(store, alpha=0.1, is_trial=True)
    first = plan_of(store, alpha=0.1)
    assert (tried.number, tried.plan) == (first.number, first.plan)
    assert (first.plan.kind, first.plan.base, first.plan.challenger, first.plan.alpha) == ("split", "a", "b", 0.1)
    assert first.plan.since == DeploymentTable(store.database).active().created_at  # type: ignore[union-attr]
    assert plan_of(store) == plan_of(store, alpha=0.1) == first
    with pytest.raises(ConfigError, match=r"event-type of all events, not buy; alpha 0\.1, not 0\.05\."):
        plan_of(store, alpha=0.05, event_type="buy")
    again = plan_of(store, anew=True)
    assert (again.number, again.plan.alpha) == (2, 0.05)
    assert again.plan.since > first.created_at
    assert plan_of(store) == again
    assert [one.number for one in LiveTestTable(store.database).all()] == [1, 2]


def test_what_makes_no_plan_is_refused(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EmptyDataError, match="nothing to watch"):
        plan_of(store)
    deploy(store, Plan((*TWO, Part("c", 1.0, "/c", "vc"))), monkeypatch, 1)
    with pytest.raises(EmptyDataError, match="nothing to watch"):
        plan_of(store)  # which two?
    with pytest.raises(UnknownNameError):
        plan_of(store, challenger="d")
    for wrong, said in [({"metric": "ctr"}, "there are: click-through"), ({"alpha": 1.5}, "--alpha between"),
                        ({"since": 0}, "Something else was in service")]:  # fmt: skip
        with pytest.raises(ConfigError, match=said):
            plan_of(store, base="c", challenger="b", **wrong)
    assert plan_of(store, base="c", challenger="b").plan.base == "c"


def test_an_interleaved_pair_is_watched_by_its_credits(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    deploy(store, Plan(TWO, interleaved=("b", "a")), monkeypatch, 2)
    found = plan_of(store).plan
    assert (found.kind, found.base, found.challenger, found.metric) == ("interleaving", "b", "a", "credited-clicks")
    assert plan_of(store, base="a").plan.challenger == "b"


def test_a_test_ends_when_something_else_is_in_service(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    deploy(store, Plan(TWO), monkeypatch, 5)
    deploy(store, Plan((Part("a", 1.0, "/elsewhere", "va"), TWO[1])), monkeypatch, 4)  # answers alike
    first = plan_of(store, least=2, effect=1.0)
    filled(store, 40, better=True, since=first.plan.since)
    deploy(store, Plan(TWO[:1]), monkeypatch, 3.5)
    found = look(store.database, first.plan, timestamps.now())
    assert (len(found.looks), found.verdict) == (2, Verdict.BETTER)
    assert found.looks[-1].users == (40, 40)
    assert plan_of(store) == first  # nothing else can be watched
    deploy(store, Plan(TWO), monkeypatch, 0.1)
    assert plan_of(store).number == 2  # the same names, and another test


def run(url: str, *flags: str):
    from service.cli.ab_test import uplift

    app = typer.Typer()
    app.command()(uplift)
    return CliRunner().invoke(app, ["--store", url, "--watch", *flags])


@pytest.mark.parametrize(("better", "status", "said"), [(True, 0, "Promote b"), (False, 4, "Stop: b is worse")])
def test_the_command_exits_with_what_the_sequence_says(
    store: EventStore, place: Place, monkeypatch: pytest.MonkeyPatch, better: bool, status: int, said: str
) -> None:
    deploy(store, Plan(TWO), monkeypatch, 3.5)
    active = DeploymentTable(store.database).active()
    assert active is not None
    dry = run(place.url, "--dry-run")
    assert (dry.exit_code, LiveTestTable(store.database).all()) == (3, [])
    assert "would be recorded" in dry.stdout
    filled(store, 210, better=better, since=active.created_at)
    told = run(place.url)
    assert told.exit_code == status, told.output
    lines = told.stdout.splitlines()
    assert lines[0].startswith("Plan 1, recorded")
    assert lines[-1].startswith(said)
    assert "as day 2 says" in lines[-1]  # on day 1, 105 clicks are too few
    rows = [line.split() for line in lines if line.lstrip()[:1].isdigit()]
    assert [row[0] for row in rows] == ["1", "2", "3"]
    assert rows[2][3:6] == ["210", "+", "210"]
    assert run(place.url, "--alpha", "0.01").exit_code == 1
    assert isinstance(run(place.url, "--until", "2026-01-01").exception, ConfigError)


def test_few_users_decide_nothing(store: EventStore, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    deploy(store, Plan(TWO), monkeypatch, 3.5)
    active = DeploymentTable(store.database).active()
    assert active is not None
    filled(store, 20, better=True, since=active.created_at)
    told = run(place.url)
    assert told.exit_code == 3
    assert "too early" in told.stdout
    assert told.stdout.splitlines()[-1].startswith("Keep going")
    plan = plan_of(store).plan
    assert not any(one.is_late_enough for one in look(store.database, plan, timestamps.now()).looks)


def test_options_of_a_watch_are_refused_without_one(place: Place) -> None:
    from service.cli.ab_test import uplift

    app = typer.Typer()
    app.command()(uplift)
    found = CliRunner().invoke(app, ["--store", place.url, "--alpha", "0.1"])
    assert isinstance(found.exception, ConfigError)


def test_sums_of_equal_users_have_no_interval(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    deploy(store, Plan(TWO), monkeypatch, 1.5)
    plan = plan_of(store, least=2).plan
    found = look(store.database, plan, timestamps.now())
    assert [np.isinf(one.half) for one in found.looks] == [True]
