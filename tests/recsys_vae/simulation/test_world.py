"""What is drawn is what the truth says, and every block is drawn by itself."""

from dataclasses import fields

import numpy as np
import pytest

from recsys_vae.errors import ConfigError, DataError
from recsys_vae.simulation import World, WorldSettings
from recsys_vae.simulation.calendar import DAY
from recsys_vae.simulation.dirt import Account
from recsys_vae.simulation.events import CART, PURCHASE, VIEW, Rows, joined

SMALL = {"users": 300, "items": 120, "events": 20_000, "tastes": 8, "days": 90}


def drawn(world: World) -> tuple[Rows, Account]:
    blocks = [world.block(number) for number in range(world.n_blocks)]
    return joined([rows for rows, _ in blocks]), Account.total(account for _, account in blocks)


def test_views_follow_the_click_probability():
    # Two people, so that each is seen often; all that changes with time does so strongly.
    world = World(
        WorldSettings(
            users=2,
            items=60,
            events=200_000,
            tastes=6,
            days=40,
            cart=0.0,
            bots=0.0,
            new_items=0.5,
            taste_drift=1.0,
            trend=1.0,
            seasonality=1.0,
            activity=0.1,
            new_users=0.0,
        )
    )
    rows, _ = drawn(world)
    days = (rows.times - world.settings.first_second) // DAY
    ratios = []
    for user in range(2):
        for part in range(4):
            mine = (rows.users == user) & (days // 10 == part)
            expected = np.zeros(60)
            for day in range(10 * part, 10 * part + 10):
                law = world.click_probability([user], range(60), world.settings.first_second + day * DAY)[0]
                expected += (mine & (days == day)).sum() * law
            seen = np.bincount(rows.items[mine], minlength=60)
            there = expected > 5
            assert seen[expected == 0].sum() == 0
            ratios.append(((seen - expected)[there] ** 2 / expected[there]).sum() / there.sum())
    assert 0.8 < np.mean(ratios) < 1.2  # a chi-square over its degrees of freedom: 8 samples of some 50 each


def test_click_probabilities_are_a_law_over_the_items_that_have_come():
    world = World(WorldSettings(**SMALL, bots=0.1, new_items=0.5))
    users = np.arange(300)
    for day in (0, 45, 89):
        law = world.click_probability(users, range(120), world.settings.first_second + day * DAY)
        np.testing.assert_allclose(law.sum(axis=1), 1, rtol=1e-9)
        assert (law >= 0).all()
        assert (law[:, world.catalogue.arrivals > day] == 0).all()
    bots = np.concatenate([world.users(block).is_bot for block in range(world.n_blocks)])
    assert 0 < bots.sum() < 100
    assert np.ptp(law[bots][:, world.catalogue.arrivals <= 89]) == 0
    bought = world.purchase_probability(users, range(120), world.settings.first_second)
    assert (bought[bots] == 0).all()
    assert 0.2 * 0.4 * 0.5 < bought[~bots].sum(axis=1).mean() < 0.2 * 0.4 * 1.5


def test_a_world_that_stands_still_has_zipfs_law_over_its_users():
    still = {"taste_drift": 0.0, "trend": 0.0, "seasonality": 0.0, "new_items": 0.0}
    world = World(WorldSettings(users=1, items=200, tastes=10, zipf=1.1, exploration=1.0, **still))
    law = np.sort(world.click_probability([0], range(200), 0)[0])[::-1]
    np.testing.assert_allclose(law, np.arange(1, 201) ** -1.1 / (np.arange(1, 201) ** -1.1).sum())
    np.testing.assert_allclose(world.catalogue.prior.sum(), 1)


@pytest.mark.parametrize("events", [1, 7, 300, 20_000])
def test_there_are_exactly_as_many_rows_as_asked_for(events):
    rows, account = drawn(World(WorldSettings(**SMALL | {"events": events})))
    assert len(rows) == account.events == account.rows == events
    assert account.view + account.cart + account.purchase == events


def test_a_block_is_the_same_by_itself():
    settings = WorldSettings(users=5000, items=300, events=400_000, bad=0.01, duplicates=0.01, skewed=0.05)
    whole = World(settings)
    assert whole.n_blocks > 3
    for number in (2, 0):
        alone = World(settings).block(number)
        again = whole.block(number)
        for name in (one.name for one in fields(Rows)):
            np.testing.assert_array_equal(getattr(alone[0], name), getattr(again[0], name))
        assert alone[1] == again[1]
    other = World(WorldSettings(users=5000, items=300, events=400_000, seed=1)).block(2)[0]
    assert not np.array_equal(other.items[:100], again[0].items[:100])


def test_nothing_happens_before_users_and_items_come_or_after_the_last_day():
    world = World(WorldSettings(**SMALL, new_users=0.6, new_items=0.6))
    rows, _ = drawn(world)
    users = [world.users(block) for block in range(world.n_blocks)]
    came = world.calendar.seconds(np.concatenate([one.joined for one in users])) + world.settings.first_second
    assert (rows.times >= came[rows.users] - 1).all()
    days = (rows.times - world.settings.first_second) // DAY
    assert (days >= world.catalogue.arrivals[rows.items]).all()
    assert (days < 90).all()
    assert len(np.unique(world.catalogue.arrivals)) > 30


def test_the_funnel_and_what_is_bought_again():
    settings = WorldSettings(**SMALL | {"events": 100_000, "days": 1000}, bots=0.0, reordered=1.0, reorder_days=20.0)
    rows, account = drawn(World(settings))
    assert account.cart / account.view == pytest.approx(0.2, abs=0.03)
    again = account.purchase - 0.4 * account.cart
    # A rate of a half makes one more of each, but for those after the end.
    assert 0.5 < again / (0.4 * account.cart) < 1.3
    _, told = drawn(World(WorldSettings(**SMALL | {"events": 100_000, "days": 1000}, bots=0.0, reordered=0.0)))
    assert told.purchase / told.cart == pytest.approx(0.4, abs=0.04)
    assert {VIEW, CART, PURCHASE} == set(np.unique(rows.kinds))


def test_sessions_keep_to_the_shops_hours_and_programs_do_not():
    busy, _ = drawn(World(WorldSettings(**SMALL, bots=0.0)))
    programs, _ = drawn(World(WorldSettings(**SMALL, bots=1.0)))

    def night(rows):
        return (rows.times % DAY < 5 * 3600).mean()

    assert night(busy) < 0.06
    assert 0.18 < night(programs) < 0.24
    assert (programs.kinds == VIEW).all()


def test_dirt_is_counted_as_it_is_made():
    world = World(WorldSettings(**SMALL, bad=0.05, duplicates=0.03, skewed=0.2))
    rows, account = drawn(world)
    good = rows.faults == 0
    assert account.rows == len(rows) == account.events + account.duplicates + (~good).sum()
    assert account.no_user + account.no_item + account.unknown_event + account.bad_time == (~good).sum() > 800
    assert account.pairs == len(np.unique(rows.users[good] * 120 + rows.items[good]))
    assert account.users == len(np.unique(rows.users[good]))
    assert account.before_1990 == (rows.times[good] < 631_152_000).sum() > 0
    as_numbers = Account.total(world.block(n, has_times_as_text=False)[1] for n in range(world.n_blocks))
    assert as_numbers.bad_time == 0
    assert as_numbers.unknown_event == account.unknown_event + account.bad_time


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"users": 0}, "users is at least 1"),
        ({"seed": -1}, "seed is from 0"),
        ({"tastes": 600}, "tastes at most"),
        ({"bad": 1.5}, "bad is a share"),
        ({"zipf": -0.1}, "zipf is at least 0"),
        ({"zipf": 6.0}, "zipf is at most 5"),
        ({"session": 0.5}, "session is at least 1"),
        ({"start": "yesterday"}, "YYYY-MM-DD"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, words):
    with pytest.raises(ConfigError, match=words):
        WorldSettings(**wrong)


def test_who_and_what_is_not_there_is_refused():
    world = World(WorldSettings(**SMALL))
    with pytest.raises(DataError, match="users 0 to 299"):
        world.click_probability([300], [0], 0)
    with pytest.raises(DataError, match="items 0 to 119"):
        world.click_probability([0], [-1], 0)
    with pytest.raises(DataError, match="no simulated log"):
        World.open("/nowhere")
