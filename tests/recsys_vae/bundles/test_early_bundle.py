"""A bundle that was written before files and words were moved is still read, and answers as it did then."""

import json
from pathlib import Path

import numpy as np

from recsys_vae.bundles.bundle import Bundle
from recsys_vae.recommender import FallbackChain
from tests.worlds import csr

EARLY = Path(__file__).with_name("early")
"""`answers.json` holds what was asked, and the rows, scores and tiers of that day."""


def test_an_early_bundle_answers_as_it_did() -> None:
    then = json.loads((EARLY / "answers.json").read_text())
    chain = FallbackChain(Bundle.load(EARLY / "bundle"))
    schema = chain.bundle.tiers.schema
    assert schema is not None
    histories = csr(then["histories"], len(chain.bundle.items))
    answers = chain.recommend(histories, 4, metadata=schema.encode(then["metadata"]))
    assert list(answers.tiers) == then["tiers"]
    np.testing.assert_array_equal(answers.rows, then["rows"])
    np.testing.assert_allclose(answers.scores, then["scores"], rtol=1e-5, atol=1e-5)
