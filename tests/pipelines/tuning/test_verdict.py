from collections.abc import Mapping

import numpy as np
import pytest
from scipy.sparse import csr_array

from pipelines.tuning.search import Search
from pipelines.tuning.trial import VALUES, Outcome
from pipelines.tuning.verdict import decide
from recsys_vae.errors import ConfigError
from recsys_vae.models.search_space import Value

RNG = np.random.default_rng(0)
PLAIN = RNG.random(200)


def weighs(settings: Mapping[str, Value]) -> bool:
    return settings["weights"] != "binary"


def trial(number: int, weights: str, values: np.ndarray, *, pruned: bool = False, kept: bool = True) -> Outcome:
    facts = {VALUES: values.tolist()} if kept else {}
    return Outcome(number, {"weights": weights}, float(values.mean()), pruned, facts)


def test_nothing_is_said_where_no_weights_were_tried() -> None:
    verdict = decide([trial(1, "binary", PLAIN), trial(2, "binary", PLAIN + 0.1)], weighs)
    assert verdict is not None
    assert (verdict.best.number, verdict.remark) == (2, "")
    assert decide([trial(1, "binary", PLAIN, pruned=True)], weighs) is None


def test_weights_that_measurably_help_are_recommended() -> None:
    better = PLAIN + 0.01 + 0.01 * RNG.normal(size=200)
    verdict = decide([trial(1, "binary", PLAIN), trial(2, "log", better), trial(3, "value", PLAIN - 0.1)], weighs)
    assert verdict is not None
    assert verdict.best.number == 2
    assert verdict.remark.startswith("Weights and dislikes help: the best with them, trial 2, minus the best without")


def test_binary_stays_where_the_gain_may_be_chance() -> None:
    luck = PLAIN + 0.001 + 0.2 * RNG.normal(size=200)
    for second in (luck, PLAIN - 0.01):
        verdict = decide([trial(1, "binary", PLAIN), trial(2, "log", second)], weighs)
        assert verdict is not None
        assert verdict.best.number == 1
        assert "binary stays" in verdict.remark
        assert "95 %" in verdict.remark


def test_binary_stays_where_nobody_knows() -> None:
    """Metrics without a value by user, such as coverage."""
    verdict = decide([trial(1, "binary", PLAIN), trial(2, "log", PLAIN + 1, kept=False)], weighs)
    assert verdict is not None
    assert verdict.best.number == 1
    assert "95 %" not in verdict.remark


def matrix(values: list[float]) -> csr_array:
    return csr_array(np.array([values], dtype=np.float32))


def test_what_has_no_effect_on_the_data_is_not_searched() -> None:
    search = Search.of("ease", {})
    assert set(search.space) == {"l2", "weights", "dislikes"}
    binary, counts, dislikes = matrix([1, 1, 0]), matrix([1, 2, 0]), matrix([0, 0, 1])
    assert set(search.among(binary, None).space) == {"l2"}
    assert set(search.among(counts, matrix([0, 0, 0])).space) == {"l2", "weights"}
    assert set(search.among(binary, dislikes).space) == {"l2", "dislikes"}
    assert search.weighs({"l2": 1.0, "weights": "log"})
    assert not search.weighs({"l2": 1.0})
    with pytest.raises(ConfigError, match="weights, dislikes of ease has no effect"):
        Search.of("ease", {"l2": 100.0}).among(binary, None)
