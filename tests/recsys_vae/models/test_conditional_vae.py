import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from recsys_vae.errors import ConfigError, DataError
from recsys_vae.models.conditional_vae import ConditionalVAE, ConditionalVAEConfig
from recsys_vae.nn.sparse_layers import SparseRows
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.loop import train
from tests.worlds import csr, two_tastes

CONFIG = ConditionalVAEConfig(hidden=16, latent=4, prior_hidden=8, metadata=(2, 1))
HISTORIES = csr([[0, 1], [], [5]], 12)
METADATA = csr([[0, 2], [1], []], 3)


def fresh(config: ConditionalVAEConfig = CONFIG) -> ConditionalVAE:
    torch.manual_seed(0)
    return ConditionalVAE(12, config)


def rows(histories: csr_array = HISTORIES, metadata: csr_array | None = METADATA) -> SparseRows:
    return SparseRows.from_csr(histories, metadata=metadata)


def test_an_empty_history_is_answered_from_the_priors_mean() -> None:
    model, given = fresh(), rows().l2_normalised()
    prior, posterior = model.prior(given), model.posterior(given)
    assert torch.equal(posterior.mean[1], prior.mean[1])
    assert torch.allclose(posterior.log_variance[1], prior.log_variance[1], atol=1e-6)
    assert not torch.allclose(posterior.mean[0], prior.mean[0])


def test_the_posterior_is_the_product_of_prior_and_evidence() -> None:
    model, given = fresh(), rows().l2_normalised()
    prior, evidence, posterior = model.prior(given), model.evidence(given), model.posterior(given)
    own, others = torch.exp(-prior.log_variance[0]), torch.exp(-evidence.log_variance[0])
    assert torch.allclose(torch.exp(-posterior.log_variance[0]), own + others, rtol=1e-5)
    mean = (own * prior.mean[0] + others * evidence.mean[0]) / (own + others)
    assert torch.allclose(posterior.mean[0], mean, rtol=1e-4, atol=1e-6)
    assert (posterior.log_variance[0] < prior.log_variance[0]).all()


def test_metadata_change_the_scores_and_missing_ones_are_no_metadata() -> None:
    model = fresh()
    with_them, without = model.score(HISTORIES, METADATA), model.score(HISTORIES)
    assert not np.allclose(with_them[:2], without[:2])
    np.testing.assert_allclose(with_them[2], without[2], rtol=1e-6)


def test_scores_with_metadata_are_inner_products_too() -> None:
    model = fresh()
    products = model.encode(HISTORIES, METADATA) @ model.item_vectors().T
    np.testing.assert_allclose(products, model.score(HISTORIES, METADATA), rtol=1e-5, atol=1e-6)


def test_metadata_of_another_schema_are_refused() -> None:
    with pytest.raises(DataError, match=r"expected \(3, 3\)"):
        fresh().score(HISTORIES, csr([[0]], 3))


def test_short_histories_are_normalised_after_they_were_cut() -> None:
    model = fresh(ConditionalVAEConfig(hidden=16, latent=4, short=1.0, longest_short=3))
    shown = model._as_if_newer(rows(csr([list(range(12))] * 300, 12), None), torch.Generator().manual_seed(0))
    lengths = shown.lengths()
    assert 0 in lengths
    assert lengths.float().mean() < 3
    norms = shown.row_sums(shown.values.square())[lengths > 0]
    assert torch.allclose(norms, torch.ones_like(norms))


def test_without_short_histories_entries_are_dropped_as_in_mult_vae() -> None:
    model = fresh(ConditionalVAEConfig(hidden=16, latent=4, short=0.0, dropout=0.0))
    given = rows(metadata=None)
    shown = model._as_if_newer(given, None)
    assert torch.equal(shown.values, given.l2_normalised().values)


def test_the_prior_learns_what_metadata_say() -> None:
    world = two_tastes(n_users=60)
    metadata = csr([[user % 2] for user in range(60)], 2)
    model = fresh(ConditionalVAEConfig(hidden=32, latent=8, prior_hidden=8, metadata=(2,), longest_short=3))
    train(
        model, world.matrix, TrainingConfig(epochs=80, batch_size=20, learning_rate=0.01, patience=0), metadata=metadata
    )
    best = model.score(csr([[], []], 12), csr([[0], [1]], 2)).argsort(axis=1)[:, -6:]
    assert (best[0] < 6).all()
    assert (best[1] >= 6).all()


@pytest.mark.parametrize("wrong", [{"hidden": 0}, {"short": 1.5}, {"metadata_dropout": 1.0}, {"metadata": (-1,)}])
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        ConditionalVAEConfig(**wrong)  # type: ignore[arg-type]
