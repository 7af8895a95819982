"""The plan of a live test: found in the store, or written down there before anything is looked at."""

from dataclasses import dataclass
from typing import Any, get_args

from recsys_vae.errors import ConfigError, EmptyDataError, UnknownNameError
from service import timestamps
from service.store.deployments import Deployment, DeploymentTable
from service.store.live_tests import Kind, LiveTestTable, Metric, Plan, Recorded

ALPHA, EFFECT, LEAST = 0.05, 0.03, 100
METRICS: dict[Kind, tuple[Metric, ...]] = {
    "split": ("click-through", "clicked-per-user"),
    "interleaving": ("credited-clicks",),
}
"""The first one is the usual one."""
FIXED = ("since", "metric", "event_type", "alpha", "effect", "least")
"""What a plan holds on to."""


@dataclass(frozen=True)
class Wish:
    """What whoever looks asks for; None for what the plan says, or else for the usual.

    Attributes:
        base: the variant in place.
        challenger: the one that may take it.
        since: as in `Plan`, like those below.
        metric: of the kind of test.
        event_type: of clicks.
        alpha: between 0 and 1.
        effect: above 0.
        least: at least 2.
        anew: whether to begin another test of the same two, of lists from now on.
        is_trial: whether nothing is to be written down.
    """

    base: str | None = None
    challenger: str | None = None
    since: int | None = None
    metric: str | None = None
    event_type: str | None = None
    alpha: float | None = None
    effect: float | None = None
    least: int | None = None
    anew: bool = False
    is_trial: bool = False


def find_or_record(tests: LiveTestTable, deployments: DeploymentTable, wish: Wish) -> Recorded:
    """The plan of the test that runs, or a new one; a test ends when something else is put in service.

    Raises:
        EmptyDataError: nothing that could be compared is or was in service.
        UnknownNameError: a variant is not in service.
        ConfigError: the plan that stands says something else, or what is asked for makes no plan.
        ConflictError: another plan is written down at this moment.
    """
    known, run = tests.all(), _run(deployments)
    about = _about(run[-1], wish) if run else None
    if about is None:
        if not known or wish.anew:
            raise EmptyDataError(
                "No two variants are in service, and no test of any is on record: nothing to watch. Start with "
                "recsys serve --variant a=1:... --variant b=1:... (and --interleave a,b); of more than two variants, "
                "name those to compare by --against and --challenger."
            )
        return _checked(known[-1], wish)
    running = [one for one in known if one.plan.is_about(*about) and one.plan.generation >= run[0].generation]
    if running and not wish.anew:
        return _checked(running[-1], wish)
    plan = _plan(*about, run[0], wish)
    return Recorded(len(known) + 1, plan, timestamps.now()) if wish.is_trial else tests.add(plan)


def ended_at(deployments: DeploymentTable, plan: Plan) -> int | None:
    """When something else than what a test is about was put in service; None where nothing was."""
    first, *later = deployments.from_generation(plan.generation)
    return next((one.created_at for one in later if not one.plan.serves_as(first.plan)), None)


def _run(deployments: DeploymentTable) -> list[Deployment]:
    """The last deployments that all answer everybody alike, oldest first."""
    found: list[Deployment] = []
    for one in reversed(deployments.from_generation(1)):
        if found and not one.plan.serves_as(found[-1].plan):
            break
        found.append(one)
    return found[::-1]


def _about(active: Deployment, wish: Wish) -> tuple[Kind, str, str] | None:
    """Which two variants are compared, and how; None where they are not in service or not named."""
    weights = {part.name: part.weight for part in active.plan.parts}
    for name in (wish.base, wish.challenger):
        if name is not None and name not in weights:
            raise UnknownNameError("variant", name, weights)
    together = active.plan.interleaved
    is_together = bool(together) and {wish.base, wish.challenger} <= {None, *together}
    kind: Kind = "interleaving" if is_together else "split"
    split = [name for name, weight in weights.items() if weight > 0 and name not in together]
    names = list(together) if is_together else split
    base = wish.base or next((name for name in names if name != wish.challenger), None)
    rivals = [name for name in names if name != base] if wish.challenger is None else [wish.challenger]
    if base is None or len(rivals) != 1 or base == rivals[0] or not {base, *rivals} <= set(names):
        return None
    return kind, base, rivals[0]


def _checked(found: Recorded, wish: Wish) -> Recorded:
    """The plan, where nothing else is asked for."""
    differences = [
        f"{name.replace('_', '-')} {_told(name, getattr(found.plan, name))}, not {_told(name, getattr(wish, name))}"
        for name in FIXED
        if getattr(wish, name) not in (None, getattr(found.plan, name))
    ]
    if differences:
        raise ConfigError(
            f"Plan {found.number} of this test says: {'; '.join(differences)}. A plan is not changed while it is "
            "looked at, else its error rate is not what it says. Leave it out, or begin another test: --new-plan."
        )
    return found


def _plan(kind: Kind, base: str, challenger: str, first: Deployment, wish: Wish) -> Plan:
    since = wish.since if wish.since is not None else timestamps.now() if wish.anew else first.created_at
    if since < first.created_at:
        began = timestamps.from_microseconds(first.created_at)
        raise ConfigError(f"Something else was in service until {began:%Y-%m-%d %H:%M:%S} UTC; begin --since then.")
    metric = wish.metric or METRICS[kind][0]
    if metric not in METRICS[kind]:
        raise ConfigError(f"The metric {metric} is none of a test by {kind}; there are: {', '.join(METRICS[kind])}.")
    alpha, effect, least = (_or(wish.alpha, ALPHA), _or(wish.effect, EFFECT), _or(wish.least, LEAST))
    if not 0 < alpha < 1 or not 0 < effect <= 10 or least < 2:
        raise ConfigError("Expected --alpha between 0 and 1, --effect above 0 and at most 10, --least of 2 or more.")
    [metric_name] = [name for name in get_args(Metric) if name == metric]
    return Plan(
        kind, base, challenger, since, first.generation, metric_name, wish.event_type, alpha, effect, int(least)
    )


def _or(value: float | None, usual: float) -> float:
    return usual if value is None else value


def _told(name: str, value: Any) -> str:
    if name == "since":
        return f"{timestamps.from_microseconds(value):%Y-%m-%d %H:%M:%S} UTC"
    return "of all events" if value is None else str(value)
