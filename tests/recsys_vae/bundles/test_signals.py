"""What a bundle says of events."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys_vae.bundles.bundle import Bundle, write_bundle
from recsys_vae.bundles.manifest import MANIFEST, Provenance, _checksum
from recsys_vae.data.ids import IdMap
from recsys_vae.data.signals import SignalRules
from recsys_vae.errors import BundleCorruptError, BundleVersionError
from tests.worlds import untrained

RULES = SignalRules(dislikes=("hide",), half_life=7.0)


def written(path: Path, signals: SignalRules | None = RULES) -> Path:
    items = IdMap.from_values(list("abcdefgh"))
    write_bundle(
        path, untrained("popularity", 8), items, popularity=np.ones(8), provenance=Provenance(), signals=signals
    )
    return path


def test_rules_are_read_again_and_are_part_of_what_it_is(tmp_path: Path) -> None:
    bundle, plain = Bundle.load(written(tmp_path / "one")), Bundle.load(written(tmp_path / "two", None))
    assert bundle.signals == RULES
    assert plain.signals == SignalRules()
    assert bundle.version != plain.version


@pytest.mark.parametrize(
    ("signals", "error"), [({"mood": 1}, BundleVersionError), ({"half_life": -1.0}, BundleCorruptError)]
)
def test_rules_that_are_not_known_are_refused(tmp_path: Path, signals: dict[str, Any], error: type[Exception]) -> None:
    path = written(tmp_path / "one") / MANIFEST
    content = json.loads(path.read_text()) | {"signals": signals}
    content.pop("checksum")
    path.write_text(json.dumps(content | {"checksum": _checksum(content)}))
    with pytest.raises(error):
        Bundle.load(path.parent)
