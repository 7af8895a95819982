from pathlib import Path

import numpy as np
import pytest

from recsys_vae.bundles.bundle import Bundle, Tiers, write_bundle
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.bundles.tier_policy import TierPolicy
from recsys_vae.data.features import Field, Schema
from recsys_vae.data.ids import IdMap
from recsys_vae.errors import DataError
from recsys_vae.models.content import place_new_items
from recsys_vae.models.content_map import ContentMap
from tests.worlds import untrained

RECORDS = [{"genre": "drama" if row % 2 else "comedy", "tags": ["x"] if row % 3 else ["x", "y"]} for row in range(12)]
SCHEMA = Schema.learn([Field("genre", "category"), Field("tags", "set")], RECORDS)
CONTENT, COUNTS = SCHEMA.encode(RECORDS), np.array([5] * 9 + [0] * 3)


def learned() -> tuple:
    model = untrained("mult-vae", 12)
    place_new_items(model, CONTENT, COUNTS, l2=1.0)
    return model, ContentMap.learn(model, SCHEMA, CONTENT, COUNTS, l2=1.0, lift=0.5)


def test_an_item_that_comes_later_gets_what_a_new_one_with_its_content_got_and_is_lifted_as_it() -> None:
    model, content = learned()
    vectors, is_known = content.vectors([*RECORDS[9:], {}, {"genre": "unheard of"}])
    expected = model.item_vectors()[9:].copy()
    expected[:, -1] += 0.5
    np.testing.assert_allclose(vectors[:3], expected, rtol=1e-4, atol=1e-5)
    assert is_known.tolist() == [True, True, True, False, False]
    assert vectors.dtype == np.float32


def test_a_bundle_keeps_it_and_refuses_one_of_other_vectors(tmp_path: Path) -> None:
    model, content = learned()
    tiers = Tiers(TierPolicy(content=True), content=content)
    ids = IdMap.from_values([f"i{row:02}" for row in range(12)])
    write_bundle(tmp_path / "b", model, ids, popularity=COUNTS, provenance=Provenance(), tiers=tiers)
    read = Bundle.load(tmp_path / "b").tiers.content
    assert read is not None
    assert read.schema == SCHEMA
    np.testing.assert_array_equal(read.weights, content.weights)
    with pytest.raises(DataError, match="weights of shape"):
        ContentMap.from_tensors(SCHEMA, content.tensors(), 3)
