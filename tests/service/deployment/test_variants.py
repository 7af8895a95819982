"""Who is assigned which variant."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_vae.recommender import FallbackChain
from service.deployment.variants import Variant, VariantSet
from service.errors import CursorExpiredError, FieldError
from tests.service.tiny import lineup_of

USERS = [f"user {number}" for number in range(2000)]
names = st.text("abcdef", min_size=1, max_size=3)
weights = st.dictionaries(names, st.floats(0.01, 100), min_size=1, max_size=4)


class Named:
    """All that a variant needs of its catalogue to be assigned."""

    def __init__(self, version: str) -> None:
        self.version = version


def weighted(shares: dict[str, float]) -> VariantSet:
    variants = (Variant(name, weight, "tests", Named(f"v-{name}")) for name, weight in shares.items())  # type: ignore[arg-type]
    return VariantSet(1, tuple(variants))


def assigned(variant_set: VariantSet) -> dict[str, str]:
    return {user: variant_set.deal(user).name for user in USERS}


@given(weights, st.text(max_size=20), st.randoms())
def test_a_user_stays_with_a_variant_however_variants_are_listed_and_scaled(shares, key, random) -> None:
    listed = list(shares.items())
    random.shuffle(listed)
    again = weighted({name: weight * 8 for name, weight in listed})
    assert weighted(shares).deal(key).name == again.deal(key).name


@given(st.dictionaries(names, st.integers(1, 9), min_size=2, max_size=4))
@settings(max_examples=25)
def test_variants_get_their_shares(shares: dict[str, int]) -> None:
    counts = Counter(assigned(weighted(shares)).values())
    for name, weight in shares.items():
        expected = weight / sum(shares.values())
        slack = 5 * (expected * (1 - expected) / len(USERS)) ** 0.5
        assert counts[name] / len(USERS) == pytest.approx(expected, abs=slack)


def test_a_changed_weight_moves_users_to_or_from_this_variant_only() -> None:
    before, after = assigned(weighted({"a": 5, "b": 3, "c": 2})), assigned(weighted({"a": 5, "b": 6, "c": 2}))
    moved = [(before[user], after[user]) for user in USERS if before[user] != after[user]]
    assert moved
    assert {to for _, to in moved} == {"b"}


def test_a_variant_of_weight_0_answers_those_only_who_ask_for_it() -> None:
    variant_set = weighted({"a": 1, "b": 0})
    assert set(assigned(variant_set).values()) == {"a"}
    assert variant_set.assign("ann", "b").variant.name == "b"
    assert [variant_set.share(variant) for variant in variant_set.variants] == [1.0, 0.0]


def test_what_the_caller_chooses_is_told_from_what_is_dealt() -> None:
    variant_set = weighted({"a": 1, "b": 1})
    own = variant_set.deal("ann").name
    assert variant_set.assign("ann").is_dealt
    assert not variant_set.assign("ann", own).is_dealt
    with pytest.raises(FieldError, match=r"header\.x-recsys-variant: no variant 'c' is in service; there are: a, b"):
        variant_set.assign("ann", "c")


def test_a_list_goes_on_with_the_variant_of_its_version() -> None:
    variant_set = weighted({"a": 1, "b": 1})
    own, other = variant_set.deal("ann").name, {"a": "b", "b": "a"}[variant_set.deal("ann").name]
    assert variant_set.assign("ann", None, f"v-{own}").is_dealt
    continued = variant_set.assign("ann", None, f"v-{other}")
    assert (continued.variant.name, continued.is_dealt) == (other, False)
    assert variant_set.assign("ann", own, f"v-{other}").variant.name == other
    with pytest.raises(CursorExpiredError, match="another model"):
        variant_set.assign("ann", None, "v-c")


def test_a_lineup_is_written_down_with_versions_and_sources(chain: FallbackChain) -> None:
    plan = lineup_of(a=chain, b=chain).plan
    assert [(part.name, part.weight, part.source, part.version) for part in plan.parts] == [
        ("a", 1.0, "tests", chain.bundle.version),
        ("b", 1.0, "tests", chain.bundle.version),
    ]
