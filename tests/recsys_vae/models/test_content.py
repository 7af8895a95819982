import numpy as np
import pytest
import torch

from recsys_vae.errors import ConfigError, DataError
from recsys_vae.models.content import lift_new_items, place_new_items, predicted
from recsys_vae.models.mult_vae import MultVAE, MultVAEConfig
from recsys_vae.top_k import top_k
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.loop import train
from tests.worlds import csr, two_tastes

GENRES = csr([[0], [0], [1], [1], [0], [1], []], 2)
COUNTS = np.array([50, 50, 50, 50, 0, 0, 0])


def test_new_items_get_the_mean_vector_of_their_genre() -> None:
    vectors = np.array([[1.0, 0], [3, 0], [0, 5], [0, 7], [9, 9], [9, 9], [9, 9]])
    found = predicted(GENRES, vectors, COUNTS, l2=1e-3)
    # genre 0: mean of (1, 0) and (3, 0); genre 1: of (0, 5) and (0, 7); without content: the mean of all
    assert found == pytest.approx(np.array([[2, 0], [0, 6], [1, 3]]), abs=0.01)


def test_strong_shrinkage_gives_everything_the_mean_of_all() -> None:
    vectors = np.array([[1.0], [3], [5], [7], [0], [0], [0]])
    assert predicted(GENRES, vectors, COUNTS, l2=1e9) == pytest.approx(np.full((3, 1), 4.0), abs=1e-3)


def test_items_of_few_users_are_trusted_little() -> None:
    counts = np.array([10, 10_000, 0])
    # one genre: weights 1/2 and nearly 1, so the mean of 0 and 3 is 2
    assert predicted(csr([[0], [0], [0]], 1), np.array([[0.0], [3], [9]]), counts, l2=1e-6)[0, 0] == pytest.approx(
        2, abs=0.01
    )


def test_new_items_stand_beside_those_of_their_taste_and_speak_for_it() -> None:
    world = two_tastes(n_users=60)
    withheld = np.isin(np.arange(12), [5, 11])
    training = world.matrix.copy()
    training.data = np.where(withheld[training.indices], 0, 1).astype(np.float32)
    training.eliminate_zeros()
    torch.manual_seed(0)
    model = MultVAE(12, MultVAEConfig(hidden=32, latent=8))
    train(model, training, TrainingConfig(epochs=80, batch_size=20, learning_rate=0.01, patience=0))
    before = model.score(csr([[0, 1]], 12))
    content = csr([[item // 6] for item in range(12)], 2)
    counts = np.bincount(training.indices, minlength=12)
    place_new_items(model, content, counts, l2=1.0)
    scores = model.score(csr([[0, 1], [6, 7], [5], [11]], 12))
    assert scores[0, 5] > scores[0, 11]
    assert scores[1, 11] > scores[1, 5]
    assert scores[0, ~withheld] == pytest.approx(before[0, ~withheld], rel=1e-5)
    # a history of one new item alone says which taste it is
    assert scores[2, :6].mean() > scores[2, 6:].mean()
    assert scores[3, 6:].mean() > scores[3, :6].mean()


def test_new_items_are_lifted_until_they_fill_their_share_of_the_lists() -> None:
    torch.manual_seed(0)
    model = MultVAE(40, MultVAEConfig(hidden=8, latent=4))
    with torch.no_grad():
        model.output.bias[30:] -= 5.0
    rng = np.random.default_rng(0)
    histories = csr([np.sort(rng.choice(40, 3, replace=False)).tolist() for _ in range(50)], 40)
    counts = np.where(np.arange(40) < 30, 5, 0)
    before = model.score(histories)
    lift = lift_new_items(model, histories, counts, share=0.25, depth=8)
    after = model.score(histories)
    assert after[:, 30:] == pytest.approx(before[:, 30:] + lift, abs=1e-4)
    assert after[:, :30] == pytest.approx(before[:, :30])
    share = np.isin(top_k(after, 8, excluded=histories).rows, np.arange(30, 40)).mean()
    assert share == pytest.approx(0.25, abs=0.03)
    with pytest.raises(ConfigError, match="above 0 and below 1"):
        lift_new_items(model, histories, counts, share=1.0)


def test_content_of_another_catalogue_is_refused() -> None:
    model = MultVAE(7, MultVAEConfig(hidden=4, latent=2))
    with pytest.raises(DataError, match="Metadata have shape"):
        place_new_items(model, GENRES[:6], COUNTS, l2=1.0)
    with pytest.raises(DataError, match="Counts of 7 items"):
        place_new_items(model, GENRES, np.zeros(7, dtype=np.int64), l2=1.0)
    with pytest.raises(ConfigError, match="above 0"):
        place_new_items(model, GENRES, COUNTS, l2=0.0)
