import numpy as np
import pytest

from pipelines.selection.recommendation import best_parts, recommend

SIMPLICITY = {"popularity": (0, 0, 1.0), "ease": (0, 1, 2.0), "edlae": (0, 2, 2.0), "mult-vae": (1, 7, 3.0)}


def values(**means: float) -> dict[str, np.ndarray]:
    """Of 200 users each, with the same ups and downs, and small ones of the model's own."""
    rng = np.random.default_rng(0)
    shared = rng.normal(scale=0.2, size=200)
    noise = {model: rng.normal(scale=0.02, size=200) for model in means}
    return {
        model.replace("_", "-"): shared + noise[model] - noise[model].mean() - shared.mean() + mean
        for model, mean in means.items()
    }


def test_the_simplest_that_is_not_measurably_worse_is_recommended() -> None:
    found = recommend(values(popularity=0.2, ease=0.3, edlae=0.3399, mult_vae=0.34), SIMPLICITY, "ndcg@100")
    assert [rival.model for rival in found.rivals] == ["mult-vae", "edlae", "ease", "popularity"]
    assert (found.best.model, found.pick, found.n_users) == ("mult-vae", "edlae", 200)
    assert [rival.is_worse for rival in found.rivals] == [False, False, True, True]
    (reason,) = found.reasons()
    assert "mult-vae reaches the highest ndcg@100 0.3400 on the 200 validation users" in reason
    assert "edlae, at 0.3399, is the simplest that is not measurably worse" in reason


def test_a_winner_that_is_ahead_of_all_simpler_ones_is_recommended() -> None:
    found = recommend(values(popularity=0.2, ease=0.3, mult_vae=0.34), SIMPLICITY, "ndcg@100")
    assert found.pick == "mult-vae"
    assert found.reasons() == [
        "mult-vae reaches the highest ndcg@100 0.3400 on the 200 validation users, all simpler models measurably less."
    ]
    assert found.limits() == []


def test_where_nothing_is_ahead_of_counting_it_says_what_cannot_be_known() -> None:
    some = {model: found[:4] for model, found in values(popularity=0.30, ease=0.31).items()}
    some["ease"] = some["ease"] + np.array([0.2, -0.2, 0.2, -0.2])
    found = recommend(some, SIMPLICITY, "recall@3")
    assert found.pick == "popularity"
    reach, counting = found.limits()
    assert "cannot be seen with 4 users; to see 5 % of the best" in reach
    assert "No model is measurably better than popularity" in counting


def test_a_model_that_a_simpler_one_is_ahead_of_is_not_let_through_by_its_wide_interval() -> None:
    told = values(popularity=0.16, ease=0.15, edlae=0.14, mult_vae=0.34)
    told["edlae"] = told["edlae"] + np.tile([3.0, -3.0], 100)
    found = recommend(told, SIMPLICITY, "ndcg@6")
    assert [rival.is_worse for rival in found.rivals] == [False, True, True, False]
    assert found.pick == "mult-vae"
    reached, passed_over = found.reasons()
    assert reached == "mult-vae reaches the highest ndcg@6 0.3400 on the 200 validation users."
    assert "edlae, at 0.1400, is simpler" in passed_over
    assert "popularity, simpler still, reaches 0.1600" in passed_over


def test_one_user_decides_nothing() -> None:
    found = recommend({"popularity": np.array([0.1]), "ease": np.array([0.9])}, SIMPLICITY, "mrr")
    assert found.pick == "popularity"
    assert found.limits()[0].startswith("One user was asked")
    assert "without an interval" in found.reasons()[0]


def test_equal_models_are_told_apart_by_simplicity() -> None:
    same = np.arange(40.0)
    found = recommend({"edlae": same, "ease": same}, SIMPLICITY, "mrr")
    assert (found.best.model, found.pick) == ("ease", "ease")
    assert "and it is the simplest" in found.reasons()[0]


@pytest.mark.parametrize(
    ("told", "parts"),
    [
        ({"popularity": 0.9, "ease": 0.2, "edlae": 0.3, "mult-vae": 0.1, "elsa": 0.4}, ("elsa", "edlae")),
        ({"popularity": 0.9, "mult-vae": 0.1}, None),
        ({"ease": 0.9}, None),
    ],
)
def test_a_blend_is_made_of_the_best_of_either_kind(told: dict[str, float], parts: tuple[str, str] | None) -> None:
    assert best_parts(told, {model: model in ("mult-vae", "elsa") for model in told}) == parts
