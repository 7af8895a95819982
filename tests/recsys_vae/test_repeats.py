from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from recsys_vae import repeats
from recsys_vae.bundles.bundle import REPEAT, Bundle, write_bundle
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.data.histories import binarise
from recsys_vae.data.ids import IdMap
from recsys_vae.data.purchases import Purchases, Visits
from recsys_vae.errors import ConfigError, DataError
from recsys_vae.models.ials import IALS, IALSConfig
from recsys_vae.models.repeat import RepeatHead
from recsys_vae.recommender import FallbackChain
from tests.recsys_vae.models.test_repeat import MILK, N_ITEMS, PAN, grocer
from tests.recsys_vae.test_bundle_values import change, refused

ITEMS = IdMap.from_values(f"i{item}" for item in range(N_ITEMS))


def model() -> IALS:
    made = IALS(N_ITEMS, IALSConfig(factors=2))
    made.fit(grocer().matrix())
    return made


def written(path: Path, *, with_head: bool = True) -> Path:
    head = RepeatHead(N_ITEMS)
    head.fit(grocer())
    counts = np.diff(grocer().matrix().tocsc().indptr)
    write_bundle(
        path, model(), ITEMS, popularity=counts, provenance=Provenance(), repeat=head if with_head else None
    )  # fmt: skip
    return path


def asked() -> Purchases:
    """A user who buys milk every week, and one of whom nothing is known."""
    rows = np.array([(0, MILK, 0), (0, MILK, 7), (0, PAN, 8), (0, MILK, 14)])
    return Visits(rows[:, 0], rows[:, 1], rows[:, 2], (2, N_ITEMS)).purchases(np.array([21, 21]))


def test_a_bundle_brings_its_head_back_and_lists_hold_what_is_asked_for(tmp_path: Path) -> None:
    chain = FallbackChain(Bundle.load(written(tmp_path / "b")))
    users = chain.encode(binarise(asked().counts))
    allow, exclude, only = (
        repeats.search(chain, users, asked(), N_ITEMS, how) for how in ("allow", "exclude", "only")
    )  # fmt: skip
    assert allow.rows[0, 0] == MILK
    assert set(exclude.rows[0].tolist()) == {1, 3, 4, 5, -1}
    assert only.rows[0].tolist() == [MILK, PAN, -1, -1, -1, -1]
    assert sorted(allow.rows[0].tolist()) == list(range(N_ITEMS))


def test_who_bought_nothing_gets_popular_items_by_their_shares(tmp_path: Path) -> None:
    chain = FallbackChain(Bundle.load(written(tmp_path / "b")))
    users = chain.encode(binarise(asked().counts))
    assert users.tiers[1] == "popular"
    found = repeats.search(chain, users, asked(), N_ITEMS, "allow")
    shares = chain.bundle.popularity[found.rows[1]] + 0.5
    np.testing.assert_allclose(np.exp(found.scores[1] - found.scores[1, 0]), shares / shares[0], rtol=1e-4)


def test_filters_and_hidden_items_hold(tmp_path: Path) -> None:
    chain = FallbackChain(Bundle.load(written(tmp_path / "b")))
    users, allowed = chain.encode(binarise(asked().counts)), np.arange(N_ITEMS) < 4
    hidden = binarise(asked().counts)
    found = repeats.search(chain, users, asked(), N_ITEMS, "allow", allowed=allowed, hidden=hidden)
    assert set(found.rows[0].tolist()) == {1, 3, -1}


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    chain = FallbackChain(Bundle.load(written(tmp_path / "b", with_head=False)))
    users = chain.encode(binarise(asked().counts))
    with pytest.raises(ConfigError, match="no repeat-purchase head"):
        repeats.search(chain, users, asked(), 2, "allow")
    chain = FallbackChain(Bundle.load(written(tmp_path / "b")))
    with pytest.raises(DataError, match="Purchases have shape"):
        repeats.search(chain, users[np.array([0])], asked(), 2, "allow")
    with pytest.raises(DataError, match="has 5 items"):
        write_bundle(
            tmp_path / "c", model(), ITEMS, popularity=np.ones(N_ITEMS), provenance=Provenance(), repeat=RepeatHead(5)
        )


@pytest.mark.parametrize(("name", "value"), [("rates", 2.0), ("gaps", np.nan), ("temperature", -1.0), ("prior", 0.0)])
def test_a_head_that_no_fit_leaves_is_refused(tmp_path: Path, name: str, value: float) -> None:
    path = written(tmp_path / "b")
    change(path / REPEAT, **{name: np.full_like(load_file(path / REPEAT)[name], value)})
    assert "contradicts its manifest" in refused(path)


def test_newcomers_stand_where_an_item_with_their_vector_would(tmp_path: Path) -> None:
    chain = FallbackChain(Bundle.load(written(tmp_path / "b")))
    user, known = chain.encode(binarise(asked().counts))[np.array([0])], asked()[np.array([0])]
    new = [1, 3, 5]
    found = repeats.scores_of_newcomers(chain, user, known, chain.item_vectors[new])
    np.testing.assert_allclose(found, repeats.scores(chain, user, known)[:, new], rtol=1e-5)


def test_what_was_bought_is_told_apart_user_by_user() -> None:
    users, rows = np.array([0, 0, 1]), np.array([MILK, 1, MILK])
    assert repeats.are_bought(asked(), users, rows).tolist() == [True, False, False]
    assert repeats.are_bought(None, users, rows).tolist() == [False, False, False]


def test_a_head_is_not_asked_without_purchases(tmp_path: Path) -> None:
    served = repeats.WithRepeats(FallbackChain(Bundle.load(written(tmp_path / "b"))))
    with pytest.raises(DataError, match="give `purchases`"):
        served.score(binarise(asked().counts))
