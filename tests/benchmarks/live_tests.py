"""Live tests, simulated: how often they promote what is no better, and how many users they need for what is.

Every look is made by the service's own functions (jobs/user_sums.py, confidence_sequence.py, live_test.py) and every
interleaved list by its own draft. `python -m tests.benchmarks.live_tests`; about a minute.

- A/A: both sides are the same. 10,000 experiments of a split test with clicks drawn anew for each, and 10,000 of an
  interleaving of two different models that are equally good; 28 looks each, by plans tuned for several effects. What is
  told is the largest share that is decided for either side at any look.
- Power: the challenger gets 3 % more clicks. Users are drawn from a large simulated pool, in groups of 25; what is told
  is how many are needed so that four of five tests promote within 28 daily looks. The split test may choose the metric
  that needs fewer users.

The last line is JSON.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import fields

import numpy as np
import numpy.typing as npt

from service.experiments.confidence_sequence import crossings, half_widths
from service.experiments.live_test import Estimates, interleaved_estimates, split_estimates
from service.experiments.user_sums import UserSums
from service.ranking.interleaving import draft
from tests.benchmarks.live_tests_world import COMMON, DAYS, ERROR, RATE_SPREAD, K, Visits, better_error, visits

ALPHA, LEAST, GAIN, POWER = 0.05, 100, 0.03, 0.8
EFFECTS = (0.03, 0.1, 0.3)
"""That plans of the A/A tests are tuned for."""
PLAIN = "plain 95 %"
GROUP = 25
"""Users that are drawn from the pool together."""
POOL_USERS, REDRAWS = 6_000, 50
REPEATS = 400
Float64Array = npt.NDArray[np.float64]


def main() -> None:
    """Measure, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiments", type=int, default=10_000)
    parser.add_argument("--rate-spread", type=float, default=RATE_SPREAD, help="of the users' click rates")
    parser.add_argument("--common-error", type=float, default=COMMON, help="share of the models' errors")
    asked = parser.parse_args()
    n_experiments = asked.experiments
    rng = np.random.default_rng(15)
    print(f"A/A, {n_experiments:,} experiments, 28 daily looks, alpha {ALPHA}: share decided at any look")
    false = [tell_false("split", lambda: aa_split(n_experiments, rng))]
    world = visits(POOL_USERS, rng, spread=asked.rate_spread, share=asked.common_error)
    equal = interleaved_pool(world, ERROR, rng, 8, mirrored=True)
    false.append(tell_false("interleaving", lambda: drawn(equal, n_experiments, 80, rng)))
    share = user_share(world, rng)
    print(json.dumps({"aa_false_promotions": max(false), "interleaving_user_share": share}))


def tell_false(kind: str, experiments: Callable[[], Iterator[Estimates]]) -> float:
    """The largest share of false decisions over the plans; beside it, that of a 95 % interval looked at every day."""
    decided: dict[str, list[npt.NDArray[np.bool_]]] = {}
    for found in experiments():
        rules = {PLAIN: 1.96 * np.sqrt(found.variances)}
        rules |= {f"tuned for {effect:.0%}": _halves(found, effect) for effect in EFFECTS}
        for name, halves in rules.items():
            says = crossings(found.differences, halves, found.is_late_enough)
            decided.setdefault(name, []).append(says != 0)
    shares = {name: float(np.concatenate(each).mean()) for name, each in decided.items()}
    print(f"  {kind:13}" + "".join(f"  {name} {100 * share:.2f} %" for name, share in shares.items()))
    del shares[PLAIN]
    return max(shares.values())


def _halves(found: Estimates, effect: float) -> Float64Array:
    return half_widths(found.variances, ALPHA, effect)


def aa_split(n_experiments: int, rng: np.random.Generator, users: int = 300, at_once: int = 200) -> Iterator[Estimates]:
    """Experiments with so many users a side, nobody of whom was in another one: half are there on the first day, others
    join; activity and click rates are their own.
    """  # fmt: skip
    for _ in range(0, n_experiments, at_once):
        yield split_estimates(_side(users, at_once, rng), _side(users, at_once, rng), LEAST)


def _side(n_users: int, n_experiments: int, rng: np.random.Generator) -> UserSums:
    shape = (n_users, n_experiments)
    activity, rate = rng.exponential(0.5, shape), rng.beta(1.0, 6.0, shape)
    joins = np.where(rng.random(shape) < 0.5, 0, rng.integers(0, DAYS, shape))
    shown, clicked, days = np.zeros(shape), np.zeros(shape), []
    for day in range(DAYS):
        means = activity * (joins <= day)
        now = rng.poisson(means * rate)  # of a Poisson number, clicked lists and others are two Poisson numbers
        clicked += now
        shown += now + rng.poisson(means * (1 - rate))
        days.append(UserSums.over(shown, clicked))
    return UserSums(*(np.stack([getattr(day, one.name) for day in days], axis=-1) for one in fields(UserSums)))


def interleaved_pool(
    world: Visits, error: float, rng: np.random.Generator, redraws: int = REDRAWS, *, mirrored: bool = False
) -> UserSums:
    """Sums of groups of users by day, shape (n_groups, DAYS), whose lists were drafted; clicks are drawn several times.

    Mirrored: the challenger is as good as the base, as every group comes again with the models' names exchanged.
    """
    pairs = zip(world.lists(0, ERROR).tolist(), world.lists(1, error).tolist(), strict=True)
    tosses = rng.integers(0, 2, (len(world.user), K)).tolist()
    drafted = [draft(lists, K, own) for lists, own in zip(pairs, tosses, strict=True)]
    lists = np.array([[pick.item_id for pick in one] for one in drafted], dtype=np.int64)
    signs = np.array([[0 if pick.team is None else 2 * pick.team - 1 for pick in one] for one in drafted])
    chances = world.click_chances(lists)
    groups = []
    for _ in range(redraws):
        clicks = (rng.random(chances.shape, dtype=np.float32) < chances) * signs
        x, y = _by_day(world, np.abs(clicks).sum(1)), _by_day(world, clicks.sum(1))
        groups += [_groups(x, y), *([_groups(x, -y)] if mirrored else [])]
    return _joined(groups)


def split_pool(world: Visits, model: int, error: float, rng: np.random.Generator, *, per_user: bool) -> UserSums:
    """The same of users who get the lists of one model."""
    chances = world.click_chances(world.lists(model, error))
    shown, groups = _by_day(world, np.ones(len(world.user))), []
    for _ in range(REDRAWS):
        clicked = np.any(rng.random(chances.shape, dtype=np.float32) < chances, axis=1).astype(float)
        groups.append(_groups(np.minimum(shown, 1) if per_user else shown, _by_day(world, clicked)))
    return _joined(groups)


def _by_day(world: Visits, numbers: npt.NDArray[np.generic]) -> Float64Array:
    """What has come together by user and day, shape (POOL_USERS, DAYS)."""
    cells = np.bincount(world.user * DAYS + world.day, numbers.astype(float), POOL_USERS * DAYS)
    return cells.reshape(POOL_USERS, DAYS).cumsum(1)


def _groups(x: Float64Array, y: Float64Array) -> UserSums:
    return UserSums.over(*(values.reshape(-1, GROUP, DAYS).swapaxes(0, 1) for values in (x, y)))


def _joined(groups: list[UserSums]) -> UserSums:
    return UserSums(*(np.concatenate([getattr(one, f.name) for one in groups]) for f in fields(UserSums)))


def drawn(pool: UserSums, n_experiments: int, n_groups: int, rng: np.random.Generator) -> Iterator[Estimates]:
    """Experiments with groups drawn from a pool."""
    for _ in range(0, n_experiments, 500):
        yield interleaved_estimates(_draw(pool, 500, n_groups, rng), LEAST)


def _draw(pool: UserSums, n_experiments: int, n_groups: int, rng: np.random.Generator) -> UserSums:
    counts = rng.multinomial(n_groups, np.full(len(pool.x), 1 / len(pool.x)), n_experiments)
    return UserSums(*(counts @ getattr(pool, one.name) for one in fields(UserSums)))


def user_share(world: Visits, rng: np.random.Generator) -> float:
    """Users that interleaving needs, as a part of those that a split test needs."""
    error = better_error(world, GAIN)
    lists = world.lists(0, ERROR), world.lists(1, error)
    chances = [world.click_chances(one).sum(dtype=float) for one in lists]
    both = np.mean([len(set(a) & set(b)) for a, b in zip(*(one.tolist() for one in lists), strict=True)]) / K
    told = f"{chances[0] / len(world.user):.3f} clicks a list, {both:.0%} of each list in the other one"
    print(f"Power, challenger {chances[1] / chances[0] - 1:+.2%} clicks; {told}: users for a power of {POWER}")
    needed = {}
    for metric in ("click-through", "clicked-per-user"):
        needed[metric] = users_needed(split_test(world, error, rng, per_user=metric == "clicked-per-user"))
        print(f"  split, {metric:16}  {needed[metric]:9,.0f}")
    pool = interleaved_pool(world, error, rng)
    interleaved = users_needed(lambda n: interleaved_estimates(_draw(pool, REPEATS, n, rng), LEAST))
    print(f"  interleaving             {interleaved:9,.0f}")
    return round(interleaved / min(needed.values()), 4)


def split_test(world: Visits, error: float, rng: np.random.Generator, *, per_user: bool) -> Callable[[int], Estimates]:
    """Experiments with so many groups, half of them on either side."""
    seed = int(rng.integers(2**32))  # the same luck for both pools, so that they differ by what the models do
    a, b = (
        split_pool(world, model, e, np.random.default_rng(seed), per_user=per_user)
        for model, e in ((0, ERROR), (1, error))
    )
    return lambda n: split_estimates(_draw(a, REPEATS, n // 2, rng), _draw(b, REPEATS, n // 2, rng), LEAST)


def users_needed(test: Callable[[int], Estimates]) -> float:
    """So many that the power is reached, on a line between two numbers of groups of which one reaches it."""

    def power(n_groups: int) -> float:
        found = test(n_groups)
        return float((crossings(found.differences, _halves(found, GAIN), found.is_late_enough) > 0).mean())

    below, above = (0, 0.0), (16, power(16))
    while above[1] < POWER:
        below, above = above, (n := 2 * above[0], power(n))
    for _ in range(3):
        n = (below[0] + above[0]) // 4 * 2
        tried = n, power(n)
        below, above = (tried, above) if tried[1] < POWER else (below, tried)
    return GROUP * (below[0] + (above[0] - below[0]) * (POWER - below[1]) / (above[1] - below[1]))


if __name__ == "__main__":
    main()
