from dataclasses import replace

import numpy as np
import pytest

from recsys_vae.errors import ConfigError, DataError, UnknownNameError
from recsys_vae.models import catalog
from recsys_vae.models.blend import Blend, BlendConfig, Part, standardised
from recsys_vae.models.graph_filter import GraphFilter, GraphFilterConfig
from recsys_vae.models.mult_dae import MultDAE, MultDAEConfig
from recsys_vae.models.mult_vae import MultVAE, MultVAEConfig
from recsys_vae.models.popularity import Popularity, PopularityConfig
from tests.worlds import SMALL, csr, two_tastes, untrained

HISTORIES = csr([[0, 1], [7], []], 12)


def test_scores_are_weighted_after_they_have_been_put_on_one_scale() -> None:
    """1, 3, 3, 5 have mean 3 and deviation sqrt 2; 0, 40, 40, 80 are they times 20 less 20; sevens say nothing."""
    root = 2**0.5
    found = standardised(np.array([[1, 3, 3, 5], [0, 40, 40, 80], [7, 7, 7, 7]], dtype=np.float32))
    np.testing.assert_allclose(found, [[-root, 0, 0, root], [-root, 0, 0, root], [0, 0, 0, 0]], rtol=1e-6)


def test_a_blend_is_the_weighted_sum_of_its_parts() -> None:
    blend = untrained("blend", 12)
    assert isinstance(blend, Blend)
    first, second = (standardised(part.score(HISTORIES)) for part in (blend.autoencoder, blend.linear))
    np.testing.assert_allclose(blend.score(HISTORIES), 0.6 * first + 0.4 * second, atol=1e-6)
    blend.weigh(0.75)
    np.testing.assert_allclose(blend.score(HISTORIES), 0.25 * first + 0.75 * second, atol=1e-6)
    assert blend.config.weight == 0.75


def test_large_offsets_do_not_cost_precision() -> None:
    scores = np.linspace(0, 1, 1000, dtype=np.float32)[None, :]
    shifted = standardised(scores + np.float32(1000.0))
    np.testing.assert_allclose(shifted, standardised(scores.copy()), atol=1e-3)


def test_parts_are_named_and_set_by_dotted_names() -> None:
    settings = {"autoencoder": "mult-dae", "autoencoder.hidden": "32", "linear": "graph-filter", "linear.rank": 8}
    config = catalog.configure("blend", settings | {"weight": "0.3"})
    assert config == BlendConfig(
        Part("mult-dae", MultDAE, MultDAEConfig(hidden=32)),
        Part("graph-filter", GraphFilter, GraphFilterConfig(rank=8)),
        0.3,
    )
    assert catalog.configure("blend", catalog.described(config)) == config
    assert catalog.configure("blend", {"linear.l2": 3}).linear.config.l2 == 3.0


def test_a_part_without_settings_is_described_by_its_name() -> None:
    config = replace(SMALL["blend"], linear=Part("popularity", Popularity, PopularityConfig()))  # type: ignore[type-var]
    assert catalog.described(config) == {
        "autoencoder": "mult-vae",
        "autoencoder.item_metadata": False,
        "autoencoder.metadata": (),
        "autoencoder.metadata_dropout": 0.1,
        "autoencoder.user_metadata": False,
        "autoencoder.weights": "binary",
        "autoencoder.input_weights": "",
        "autoencoder.target_weights": "",
        "autoencoder.dislikes": 0.0,
        "autoencoder.hidden": 16,
        "autoencoder.latent": 4,
        "autoencoder.dropout": 0.5,
        "linear": "popularity",
        "weight": 0.4,
    }
    assert catalog.configure("blend", catalog.described(config)) == config


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"linear.hidden": 3}, "ease named 'hidden'"),
        ({"linaer.l2": 3}, "named 'linaer.l2'"),
        ({"weight.l2": 3}, "named 'weight.l2'"),
        ({"linear": "easy"}, "model named 'easy'"),
    ],
)
def test_unknown_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        catalog.configure("blend", settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"linear": "mult-vae"}, "in closed form; mult-vae is not"),
        ({"autoencoder": "ease"}, "by gradient; ease is not"),
        ({"autoencoder": "blend"}, "by gradient; blend is not"),
        ({"weight": 1}, "below 1"),
        ({"linear.l2": "much"}, "l2 of ease is a finite number"),
    ],
)
def test_settings_that_make_no_blend_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        catalog.configure("blend", settings)


def test_tensors_of_other_parts_are_refused() -> None:
    tensors = untrained("blend", 12).tensors()
    wider = replace(SMALL["blend"], autoencoder=Part("mult-vae", MultVAE, MultVAEConfig(hidden=17, latent=4)))  # type: ignore[type-var]
    with pytest.raises(DataError, match="another configuration"):
        Blend(12, wider).load_tensors(tensors)
    del tensors["linear.weights"]
    with pytest.raises(DataError, match="weights"):
        Blend(12, SMALL["blend"]).load_tensors(tensors)  # type: ignore[arg-type]


def test_where_the_linear_part_knows_nothing_the_autoencoder_decides() -> None:
    blend = untrained("blend", 12)
    assert isinstance(blend, Blend)
    blend.linear.fit(two_tastes(n_items=12).matrix)
    empty = HISTORIES[[2]]
    np.testing.assert_array_equal(blend.score(empty)[0].argsort(), blend.autoencoder.score(empty)[0].argsort())


def of_three(**shares: float) -> Blend:
    told = {"more": "graph-filter", "more.1.rank": 4, "autoencoder.hidden": 8, "autoencoder.latent": 2}
    blend = Blend(12, catalog.configure("blend", told | shares))
    for part in blend.parts[1:]:
        part.fit(two_tastes(n_items=12).matrix)  # type: ignore[attr-defined]
    return blend


def test_a_blend_of_three_is_the_sum_of_its_parts_by_their_shares() -> None:
    blend = of_three(**{"weight": 0.3, "more.1.share": 0.5})
    assert blend.config.shares == pytest.approx((0.2, 0.3, 0.5))
    parts = [standardised(part.score(HISTORIES)) for part in blend.parts]
    wanted = sum(share * part for share, part in zip((0.2, 0.3, 0.5), parts, strict=True))
    np.testing.assert_allclose(blend.score(HISTORIES), wanted, atol=1e-6)
    blend.share_out((0.5, 0.5, 0))
    np.testing.assert_allclose(blend.score(HISTORIES), 0.5 * parts[0] + 0.5 * parts[1], atol=1e-6)
    blend.drop_idle()
    assert len(blend.parts) == 2
    assert "more" not in catalog.described(blend.config)  # as blends of two always were


def test_further_parts_are_described_and_kept() -> None:
    settings = {
        "more": "graph-filter, sasrec",
        "more.1.rank": "8",
        "more.2.epochs": 3,
        "more.2.share": 0.2,
        "weight": 0.1,
    }
    config = catalog.configure("blend", settings)
    assert [part.model for part in config.more] == ["graph-filter", "sasrec"]
    assert (config.more[0].config.rank, config.more[1].epochs, config.more[1].share) == (8, 3, 0.2)
    assert catalog.configure("blend", catalog.described(config)) == config
    blend = of_three(**{"weight": 0.3, "more.1.share": 0.5})
    other = Blend(12, catalog.configure("blend", catalog.settings_of(blend)))
    other.load_tensors(blend.tensors())
    blend.load_tensors(other.tensors())  # layers that were taken over sum in another order
    np.testing.assert_array_equal(other.score(HISTORIES), blend.score(HISTORIES))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"more": "blend"}, "further part of a blend is trained by gradient or in closed form; blend is not"),
        ({"more": "ease", "more.1.share": 0.5}, "all of them or none"),
        ({"more": "ease", "more.1.share": 0.5, "weight": 0.5}, "add up to less than 1"),
        ({"more": "ease", "more.1.share": -0.1, "weight": 0.5}, "from 0 to below 1"),
        ({"more": 3}, "names of models"),
        ({"more": "ease", "more.2.l2": 1}, "named 'more.2'"),
        ({"more": "ease", "more.l2": 1}, "named 'more.l2'"),
        ({"more": "easy"}, "model named 'easy'"),
    ],
)
def test_further_parts_that_make_no_blend_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises((ConfigError, UnknownNameError), match=message):
        catalog.configure("blend", settings)
