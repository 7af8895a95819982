"""What every model with a distribution over codes promises."""

from dataclasses import replace

import pytest
import torch

from recsys_vae.models import catalog
from recsys_vae.models.variational import Variational
from recsys_vae.nn.gaussians import DiagonalGaussian
from recsys_vae.nn.objective import Objective
from recsys_vae.nn.sparse_layers import SparseRows
from tests.worlds import SMALL, csr, untrained

HISTORIES = [[0, 1, 5], [2, 3], [4], [1, 2, 3, 4], []]
NAMES = [name for name, entry in catalog.CATALOG.items() if issubclass(entry.model, Variational)]


@pytest.fixture(params=NAMES)
def model(request: pytest.FixtureRequest) -> Variational:
    found = untrained(request.param, 8)
    assert isinstance(found, Variational)
    return found


def rows(histories: list[list[int]] = HISTORIES) -> SparseRows:
    return SparseRows.from_csr(csr(histories, 8), "cpu")


def test_the_known_ones_are_among_them() -> None:
    assert {"mult-vae", "rec-vae", "h-vamp"} <= set(NAMES)


def test_the_posterior_is_finite_and_the_same_each_time(model: Variational) -> None:
    first, second = (model.posterior(rows().l2_normalised()) for _ in range(2))
    assert torch.equal(first.mean, second.mean)
    assert first.mean.shape == first.log_variance.shape == (5, first.mean.shape[1])
    assert torch.isfinite(first.mean).all()
    assert torch.isfinite(first.log_variance).all()


def test_no_latent_is_nearer_to_the_idle_than_the_idle(model: Variational) -> None:
    normalised = rows().l2_normalised()
    idle = model.idle(normalised)
    kl = model.posterior(normalised).kl_to(idle)
    assert (kl > -1e-6).all()
    assert (idle.kl_to(idle) == 0).all()


def test_a_batch_repeated_leaves_the_loss_unchanged(model: Variational, monkeypatch: pytest.MonkeyPatch) -> None:
    """Averaged over users, whatever their number; without noise the two are equal to rounding."""
    monkeypatch.setattr(DiagonalGaussian, "sample", lambda self, generator: self.mean)
    name = catalog.name_of(model)
    torch.manual_seed(0)
    noises = ("dropout", "metadata_dropout", "short")
    still = catalog.create(name, 8, replace(SMALL[name], **{one: 0.0 for one in noises if hasattr(SMALL[name], one)}))
    assert isinstance(still, Variational)
    once, twice = (still.loss(rows(histories), Objective(0.3)) for histories in (HISTORIES, HISTORIES * 2))
    torch.testing.assert_close((once.total, once.nll, once.kl), (twice.total, twice.nll, twice.kl))


def test_noise_has_standard_deviation_one(model: Variational, monkeypatch: pytest.MonkeyPatch) -> None:
    """What training draws is mean + deviation * noise: seen where z is drawn."""
    drawn: list[torch.Tensor] = []
    sample = DiagonalGaussian.sample

    def noted(self: DiagonalGaussian, generator: torch.Generator | None = None) -> torch.Tensor:
        z = sample(self, generator)
        drawn.append(((z - self.mean) / torch.exp(0.5 * self.log_variance)).detach())
        return z

    monkeypatch.setattr(DiagonalGaussian, "sample", noted)
    model.loss(rows(HISTORIES * 500), Objective(0.2, torch.Generator().manual_seed(0)))
    assert drawn
    for noise in drawn:
        assert noise.std().item() == pytest.approx(1.0, abs=0.03)
        assert noise.mean().item() == pytest.approx(0.0, abs=0.03)
