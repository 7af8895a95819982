"""A bundle goes into a bucket whole and comes back as it was; nothing else there is replaced."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from pipelines.artifacts.upload import upload
from pipelines.cli import build
from recsys_vae.bundles.bundle import Bundle, write_bundle
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.data.ids import IdMap
from recsys_vae.errors import BundleCorruptError, ConfigError
from recsys_vae.models.popularity import Popularity, PopularityConfig
from recsys_vae.remote import brought_here
from tests.buckets import own_bucket


def bundle_of(path: Path, counts: list[int]) -> Path:
    model = Popularity(len(counts), PopularityConfig())
    popularity = np.array(counts, dtype=np.int64)
    model.load_tensors({"counts": popularity.astype(np.float32)})
    items = IdMap.from_values(pl.Series([f"i{n}" for n in range(len(counts))]))
    write_bundle(path, model, items, popularity=popularity, provenance=Provenance())
    return path


def test_a_bundle_is_taken_from_where_it_was_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = bundle_of(tmp_path / "a", [3, 1]), bundle_of(tmp_path / "b", [1, 3])
    with own_bucket(monkeypatch) as bucket:
        address = f"{bucket.address}/bundles/today"
        planned = CliRunner().invoke(build(), ["upload", str(first), address, "--dry-run"], catch_exceptions=False)
        assert f"would be at {address}, " in planned.output
        assert upload(first, address, dry_run=True).is_new
        told = CliRunner().invoke(build(), ["upload", str(first), address], catch_exceptions=False).output
        assert f"is at {address}\n" in told
        with brought_here(address) as here:
            assert Bundle.load(here).manifest == Bundle.load(first).manifest
        assert not upload(first, address).is_new
        with pytest.raises(ConfigError, match="--overwrite"):
            upload(second, address)
        assert upload(second, address, overwrite=True).is_new
        kept = upload(first, f"{bucket.address}/bundles/")
        assert kept.address == f"{bucket.address}/bundles/{kept.manifest.version}"
        notes = bucket.put("notes/manifest.json", b"[1]")
        with pytest.raises(ConfigError, match="Something else"):
            upload(first, notes.removesuffix("/manifest.json"), overwrite=True)


def test_what_cannot_be_sent_is_said_before_anything_is(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path / "a", [3, 1])
    for address in ("https://shop.example/bundle", str(tmp_path / "elsewhere")):
        with pytest.raises(ConfigError, match="no address of a bucket"):
            upload(bundle, address)
    (bundle / "weights.safetensors").write_bytes(b"cut")
    with pytest.raises(BundleCorruptError):
        upload(bundle, "s3://shop/bundles/today")
