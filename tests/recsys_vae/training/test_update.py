import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from recsys_vae.data.change import Change
from recsys_vae.data.ids import IdMap
from recsys_vae.data.interactions import Interactions
from recsys_vae.errors import ModelError
from recsys_vae.models.elsa import ELSA, ELSAConfig
from recsys_vae.models.graph_filter import GraphFilter, GraphFilterConfig
from recsys_vae.models.updatable import WARM
from recsys_vae.protocols import Recommender
from recsys_vae.training import update as updating
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.fit import ModelSpec
from recsys_vae.training.update_run import UpdateRun
from tests.worlds import two_tastes, untrained


def grown(n_users: int = 200, n_items: int = 40) -> Change:
    """`two_tastes`, before without the last twenty users and two items."""
    return without_last(two_tastes(n_users, n_items))


def four_tastes() -> Interactions:
    """300 users who like seven of ten items of their quarter of 80, and one of twenty others: four values stand out of
    the spectrum."""
    alike = np.arange(300)[:, None] % 4 == np.arange(80) % 4
    liked = np.random.default_rng(0).random(alike.shape) < np.where(alike, 0.7, 0.05)
    users, items = (
        IdMap.from_values(f"{kind}{number:03}" for number in range(n)) for kind, n in (("u", 300), ("i", 80))
    )
    return Interactions(csr_array(liked.astype(np.float32)), users, items)


def without_last(after: Interactions, hidden: tuple[int, ...] = (3, 25)) -> Change:
    """Before, the last twenty users and two items were not there."""
    columns = np.setdiff1d(np.arange(after.n_items), hidden)
    narrow = csr_array(after.matrix[: len(after.users) - 20][:, columns])
    rows = np.flatnonzero(np.diff(narrow.indptr))
    before = Interactions(narrow[rows], after.users.take(rows), after.items.take(columns))
    return Change(before, after)


def share_within(model: Recommender, item: int, n_items: int) -> float:
    """Share of the ten items most alike an item that are of its half."""
    history = csr_array(([np.float32(1)], ([0], [item])), shape=(1, n_items))
    best = np.argsort(-model.score(history)[0])[:10]
    return float(((best < n_items // 2) == (item < n_items // 2)).mean())


def test_elsa_goes_on_from_its_factors_and_new_items_join_their_neighbours() -> None:
    change = grown()
    torch.manual_seed(0)
    training = TrainingConfig(epochs=30, batch_size=20, learning_rate=0.05, device="cpu")
    parent, spec = ELSA(38, ELSAConfig(factors=8)), ModelSpec("elsa", ELSAConfig(factors=8), training)
    kept = parent.tensors()["weight"].copy()
    made = updating.update(parent, UpdateRun(spec, change, epochs_before=30))
    assert (made.how, made.fitted.epochs, made.figures["epochs"]) == (WARM, 36, 6)
    np.testing.assert_array_equal(kept, parent.tensors()["weight"])
    assert made.fitted.model.n_items == 40
    for item in (3, 25):
        assert share_within(made.fitted.model, item, 40) > 0.7


def test_a_graph_filter_goes_on_from_its_vectors_and_comes_as_near_as_a_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    change, config = without_last(four_tastes()), GraphFilterConfig(rank=4)
    parent, fit, whole = (GraphFilter(n_items, config) for n_items in (78, 80, 80))
    parent.fit(change.before.matrix)
    fit.fit(change.after.matrix)
    with monkeypatch.context() as patched:
        patched.setattr("recsys_vae.models.spectrum.STEPS", 100)  # so small a matrix is decomposed whole
        whole.fit(change.after.matrix)
    made = updating.update(parent, UpdateRun(ModelSpec("graph-filter", config), change))
    assert made.how == WARM
    wanted, *found = (model.score(change.after.matrix) for model in (whole, made.fitted.model, fit))
    warm, cold = (float(np.abs(scores - wanted).max()) for scores in found)
    assert np.abs(wanted).max() > 1
    assert 0 < warm < 1e-4
    assert 0 < cold < 1e-4
    assert np.corrcoef(found[0].ravel(), wanted.ravel())[0, 1] > 0.99


def test_what_nobody_taught_to_be_updated_is_refused() -> None:
    world = two_tastes()
    spec = ModelSpec("blend", untrained("blend", 12).config)  # type: ignore[attr-defined]
    with pytest.raises(ModelError, match="publish it again"):
        updating.plan(object(), UpdateRun(spec, Change(world, world)))  # type: ignore[arg-type]
