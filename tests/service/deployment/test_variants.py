"""Who is dealt which variant."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_vae.recommender import Ladder
from service.deployment.variants import Lineup, Variant
from service.errors import CursorExpiredError, FieldError
from tests.service.tiny import lineup_of

USERS = [f"user {number}" for number in range(2000)]
names = st.text("abcdef", min_size=1, max_size=3)
weights = st.dictionaries(names, st.floats(0.01, 100), min_size=1, max_size=4)


class Named:
    """All that a variant needs of its catalogue to be dealt."""

    def __init__(self, version: str) -> None:
        self.version = version


def weighted(shares: dict[str, float]) -> Lineup:
    variants = (Variant(name, weight, "tests", Named(f"v-{name}")) for name, weight in shares.items())  # type: ignore[arg-type]
    return Lineup(1, tuple(variants))


def dealt(lineup: Lineup) -> dict[str, str]:
    return {user: lineup.deal(user).name for user in USERS}


@given(weights, st.text(max_size=20), st.randoms())
def test_a_user_stays_with_a_variant_however_variants_are_listed_and_scaled(shares, key, random) -> None:
    listed = list(shares.items())
    random.shuffle(listed)
    again = weighted({name: weight * 8 for name, weight in listed})
    assert weighted(shares).deal(key).name == again.deal(key).name


@given(st.dictionaries(names, st.integers(1, 9), min_size=2, max_size=4))
@settings(max_examples=25)
def test_variants_get_their_shares(shares: dict[str, int]) -> None:
    counts = Counter(dealt(weighted(shares)).values())
    for name, weight in shares.items():
        expected = weight / sum(shares.values())
        slack = 5 * (expected * (1 - expected) / len(USERS)) ** 0.5
        assert counts[name] / len(USERS) == pytest.approx(expected, abs=slack)


def test_a_changed_weight_moves_users_to_or_from_this_variant_only() -> None:
    before, after = dealt(weighted({"a": 5, "b": 3, "c": 2})), dealt(weighted({"a": 5, "b": 6, "c": 2}))
    moved = [(before[user], after[user]) for user in USERS if before[user] != after[user]]
    assert moved
    assert {to for _, to in moved} == {"b"}


def test_a_variant_of_weight_0_answers_those_only_who_ask_for_it() -> None:
    lineup = weighted({"a": 1, "b": 0})
    assert set(dealt(lineup).values()) == {"a"}
    assert lineup.assign("ann", "b").variant.name == "b"
    assert [lineup.share(variant) for variant in lineup.variants] == [1.0, 0.0]


def test_what_the_caller_chooses_is_told_from_what_is_dealt() -> None:
    lineup = weighted({"a": 1, "b": 1})
    own = lineup.deal("ann").name
    assert lineup.assign("ann").is_dealt
    assert not lineup.assign("ann", own).is_dealt
    with pytest.raises(FieldError, match=r"header\.x-recsys-variant: no variant 'c' is in service; there are: a, b"):
        lineup.assign("ann", "c")


def test_a_list_goes_on_with_the_variant_of_its_version() -> None:
    lineup = weighted({"a": 1, "b": 1})
    own, other = lineup.deal("ann").name, {"a": "b", "b": "a"}[lineup.deal("ann").name]
    assert lineup.assign("ann", None, f"v-{own}").is_dealt
    continued = lineup.assign("ann", None, f"v-{other}")
    assert (continued.variant.name, continued.is_dealt) == (other, False)
    assert lineup.assign("ann", own, f"v-{other}").variant.name == other
    with pytest.raises(CursorExpiredError, match="another model"):
        lineup.assign("ann", None, "v-c")


def test_a_lineup_is_written_down_with_versions_and_sources(ladder: Ladder) -> None:
    plan = lineup_of(a=ladder, b=ladder).plan
    assert [(part.name, part.weight, part.source, part.version) for part in plan.parts] == [
        ("a", 1.0, "tests", ladder.bundle.version),
        ("b", 1.0, "tests", ladder.bundle.version),
    ]
