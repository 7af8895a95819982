import pytest
import torch

from recsys_vae.errors import ConfigError, UnknownNameError
from recsys_vae.models import catalog
from recsys_vae.models.mult_dae import MultDAE, MultDAEConfig
from recsys_vae.models.mult_vae import MultVAE, MultVAEConfig
from recsys_vae.nn.objective import Objective
from recsys_vae.nn.sparse_layers import SparseRows
from tests.worlds import csr

HISTORIES = [[0, 1, 5], [2, 3], [4], [1, 2, 3, 4]]
MODELS = [MultVAE(8, MultVAEConfig(16, 4)), MultDAE(8, MultDAEConfig(16))]


def loss(model: MultVAE | MultDAE, histories: list[list[int]], *, kl_weight: float = 0.2, seed: int = 0):
    rows = SparseRows.from_csr(csr(histories, 8))
    return model.loss(rows, Objective(kl_weight, torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize("model", MODELS)
def test_a_batch_repeated_leaves_the_loss_unchanged(model: MultVAE | MultDAE) -> None:
    """Averaged over users, whatever their number; without noise the two are equal to rounding."""
    still = type(model)(8, type(model.config)(**{**vars(model.config), "dropout": 0.0}))
    if isinstance(still, MultVAE):
        torch.nn.init.zeros_(still.encoder_out.weight)
        torch.nn.init.constant_(still.encoder_out.bias, -100.0)  # no variance: z is its mean
    once, twice = loss(still, HISTORIES, kl_weight=0.0), loss(still, HISTORIES * 2, kl_weight=0.0)
    torch.testing.assert_close(once.total, twice.total)
    torch.testing.assert_close(once.nll, twice.nll)


def test_the_kl_is_weighted_once_and_reported_unweighted() -> None:
    model = MODELS[0]
    free, weighed = loss(model, HISTORIES, kl_weight=0.0), loss(model, HISTORIES, kl_weight=0.5)
    torch.testing.assert_close(weighed.total, free.total + 0.5 * free.kl)
    assert free.kl == weighed.kl > 0


def test_the_same_generator_gives_the_same_loss() -> None:
    assert loss(MODELS[0], HISTORIES).total == loss(MODELS[0], HISTORIES).total
    assert loss(MODELS[0], HISTORIES).total != loss(MODELS[0], HISTORIES, seed=1).total


def test_prediction_uses_the_mean() -> None:
    model = MODELS[0]
    rows = SparseRows.from_csr(csr(HISTORIES, 8))
    expected = torch.tanh(model.decoder_in(model.posterior(rows.l2_normalised()).mean))
    assert torch.equal(model.hidden(rows), expected)


def test_the_widths_are_the_papers() -> None:
    model = MultVAE(30, MultVAEConfig())
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items() if name.endswith("weight")}
    assert shapes == {
        "encoder_in.weight": (30, 600),
        "encoder_out.weight": (400, 600),
        "decoder_in.weight": (600, 200),
        "output.weight": (30, 600),
    }


def test_no_dense_input_is_ever_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalogue whose dense batch would not fit is encoded: only its weights, 16 MB, are in memory."""
    model = MultVAE(1_000_000, MultVAEConfig(hidden=2, latent=2))
    histories = csr([[5]], 1_000_000)[[0] * 5_000]
    assert model.encode(histories).shape == (5_000, 3)


@pytest.mark.parametrize("settings", [{"hidden": 0}, {"latent": 0}, {"dropout": 1.0}, {"dropout": -0.1}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        catalog.configure("mult-vae", settings)


def test_unknown_names_suggest_the_right_one() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'mult-vae'"):
        catalog.create("mult-vea", 3)
    with pytest.raises(UnknownNameError, match="Did you mean 'hidden'"):
        catalog.configure("mult-vae", {"hiden": 3})
    with pytest.raises(ConfigError, match="int"):
        catalog.configure("mult-vae", {"hidden": "wide"})
