"""Kinds of index measured on a bundle's own vectors, and a bundle with the one that was chosen."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pipelines.cli import build as application
from pipelines.commands.index import _tell
from pipelines.dataset.directory import DatasetDir
from pipelines.indexing import comparison, measuring
from pipelines.indexing.comparison import choose, compare_indexes, shortcomings
from pipelines.indexing.measuring import Measured
from pipelines.indexing.questions import Questions, questions_of
from recsys_vae.bundles.additions import with_index
from recsys_vae.bundles.bundle import Bundle, write_bundle
from recsys_vae.bundles.manifest import Provenance, read_manifest
from recsys_vae.bundles.tier_policy import TierPolicy, TierThreshold
from recsys_vae.errors import ConfigError, DataError, RecsysError, RetrievalError, UnknownNameError
from recsys_vae.retrieval.index_files import BLOCKS_FILE, FAISS_FILE
from recsys_vae.retrieval.ondisk import OnDiskIndex
from tests.pipelines.datasets_of_tastes import dataset_of_tastes
from tests.worlds import two_tastes, untrained

WORLD = two_tastes(60)
FLAT = Measured("flat", 1.0, 0.0, 1000, 900, 0.1, 2.0, 3.0)
DISK = Measured("ondisk", 1.0, 0.0, 400, 1500, 0.2, 2.5, 3.0)
GRAPH = Measured("hnsw", 0.97, 0.5, 1800, 1700, 9.0, 0.5, 1.0)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DatasetDir:
    return dataset_of_tastes(tmp_path_factory.mktemp("data") / "tastes")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("bundles") / "flat", "mult-vae")


def written(path: Path, model: str) -> Path:
    write_bundle(
        path, untrained(model, 12), WORLD.items, popularity=WORLD.item_counts(), provenance=Provenance(dataset="tastes")
    )
    return path


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Indexes are measured in this process; the kinds that were."""
    asked: list[str] = []

    def measure(folder: Path, kind: str) -> Measured:
        asked.append(kind)
        return Measured(kind, **measuring.build(folder, kind), **measuring.search(folder, kind))  # type: ignore[arg-type]

    monkeypatch.setenv("RECSYS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(comparison, "measure", measure)
    return asked


def asked_of(path: Path, dataset: DatasetDir) -> tuple[Bundle, Questions]:
    bundle = Bundle.load(path)
    return bundle, questions_of(bundle, dataset, 20)


def test_questions_are_what_the_model_makes_of_histories(path: Path, dataset: DatasetDir) -> None:
    bundle, asked = asked_of(path, dataset)
    assert asked.queries.shape[0] == asked.seen.shape[0] == 20
    np.testing.assert_allclose(asked.queries, bundle.model.encode(WORLD.matrix[:20]), rtol=1e-5)  # type: ignore[attr-defined]
    assert asked.fingerprint() == asked_of(path, dataset)[1].fingerprint()
    assert asked.fingerprint() != replace(asked, queries=asked.queries * 2).fingerprint()


def test_exact_kinds_find_all_and_what_was_measured_is_not_measured_again(
    path: Path, dataset: DatasetDir, here: list[str], tmp_path: Path
) -> None:
    found = compare_indexes(*asked_of(path, dataset), k=5, recall=1.0, memory=None, kinds=("flat", "ondisk", "flat"))
    assert here == ["flat", "ondisk"]
    assert [(one.kind, one.recall) for one in found.measured] == [("flat", 1.0), ("ondisk", 1.0)]
    assert found.chosen in found.measured
    again = compare_indexes(*asked_of(path, dataset), k=5, recall=1.0, memory=None, kinds=("flat", "ondisk", "ivf"))
    assert here == ["flat", "ondisk", "ivf"]
    assert again.measured[:2] == found.measured
    kept = next((tmp_path / "home" / "index-tuning").iterdir())
    assert sorted(one.name for one in kept.iterdir()) == ["flat.json", "ivf.json", "ondisk.json"]
    (kept / "flat.json").write_text("{")
    compare_indexes(*asked_of(path, dataset), k=5, recall=1.0, memory=None, kinds=("flat",))
    compare_indexes(*asked_of(path, dataset), k=5, recall=1.0, memory=None, kinds=("flat",), fresh=True)
    assert here[3:] == ["flat", "flat"]


def test_a_kind_that_cannot_be_measured_is_named_with_the_reason(
    path: Path, dataset: DatasetDir, here: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Measured:
        raise RetrievalError("memory runs out")

    monkeypatch.setattr(comparison, "measure", refuse)
    found = compare_indexes(*asked_of(path, dataset), k=5, recall=1.0, memory=None, kinds=("flat",))
    assert (found.measured, found.failed, found.chosen) == ((), {"flat": "memory runs out"}, None)


def test_the_fastest_of_those_that_meet_what_is_asked_is_chosen() -> None:
    every = (FLAT, DISK, GRAPH)
    assert choose(every, 1.0, None) is FLAT
    assert choose(every, 1.0, 500) is DISK
    assert choose(every, 0.95, None) is GRAPH
    assert choose(every, 0.95, 1500) is FLAT
    assert choose(every, 1.0, 100) is None
    assert choose((FLAT, replace(DISK, p50_ms=2.0)), 1.0, None) == replace(DISK, p50_ms=2.0)
    assert shortcomings(GRAPH, 1.0, 1000) == "recall and memory"


def test_bad_requests_are_refused(path: Path, dataset: DatasetDir) -> None:
    bundle, asked = asked_of(path, dataset)
    for k, recall, memory in ((0, 1.0, None), (5, 0.0, None), (5, 1.1, None), (5, 1.0, 0.0)):
        with pytest.raises(ConfigError, match="above 0"):
            compare_indexes(bundle, asked, k=k, recall=recall, memory=memory)
    with pytest.raises(UnknownNameError, match="ondisk"):
        compare_indexes(bundle, asked, k=5, recall=1.0, memory=None, kinds=("ondsk",))
    with pytest.raises(ConfigError, match="No kind"):
        compare_indexes(bundle, asked, k=5, recall=1.0, memory=None, kinds=())


def test_a_bundle_gets_another_index_and_keeps_all_else(path: Path, dataset: DatasetDir, tmp_path: Path) -> None:
    bundle, asked = asked_of(path, dataset)
    manifest = with_index(path, tmp_path / "disk", "ondisk", queries=asked.queries)
    disk = Bundle.load(tmp_path / "disk")
    assert isinstance(disk.index, OnDiskIndex)
    assert manifest.index["kind"] == "ondisk"
    assert (BLOCKS_FILE in manifest.files, FAISS_FILE in manifest.files) == (True, False)
    assert {name: told for name, told in manifest.files.items() if name != BLOCKS_FILE} == {
        name: told for name, told in bundle.manifest.files.items() if name != FAISS_FILE
    }
    assert manifest.version != bundle.version
    assert bundle.index is not None
    for index in (disk.index, bundle.index):
        assert (index.search(asked.queries, 5, None, asked.seen).rows >= 0).all()
    np.testing.assert_array_equal(disk.index.search(asked.queries, 5).rows, bundle.index.search(asked.queries, 5).rows)
    np.testing.assert_array_equal(disk.index.vectors, bundle.index.vectors)
    back = with_index(tmp_path / "disk", tmp_path / "disk", "flat")
    assert (back.version, dict(back.files)) == (bundle.version, dict(bundle.manifest.files))


def test_a_model_without_vectors_has_no_index(tmp_path: Path, dataset: DatasetDir) -> None:
    ease = written(tmp_path / "ease", "ease")
    with pytest.raises(DataError, match="no item vectors"):
        with_index(ease, tmp_path / "new", "ondisk")
    with pytest.raises(DataError, match="no user and item vectors"):
        asked_of(ease, dataset)


def test_the_command_line_measures_and_writes(path: Path, dataset: DatasetDir, here: list[str], tmp_path: Path) -> None:
    asked = ("index", "tune", str(path), str(dataset.path), "--k", "5", "--users", "10", "--index", "ondisk")
    told = CliRunner().invoke(application("index"), asked)
    assert told.exit_code == 0, told.output
    assert "recsys index build" in told.output.replace("\n", "")
    done = CliRunner().invoke(application("index"), (*asked, "--to", str(tmp_path / "new")))
    assert "ondisk: measured before" in done.output
    assert Bundle.load(tmp_path / "new").manifest.index["kind"] == "ondisk"
    for extra in ((), (str(dataset.path),)):
        built = ("index", "build", str(path), *extra, "--index", "ondisk", "--to", str(tmp_path / "built"))
        assert CliRunner().invoke(application("index"), built).exit_code == 0
    assert json.loads((tmp_path / "built" / "manifest.json").read_bytes())["index"]["kind"] == "ondisk"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--memory", "0.0000001"), "No index finds"),
        (("--recall", "2"), "above 0"),
        (("--index", "ondsk"), "ondisk"),
    ],
)
def test_the_command_line_says_what_is_wrong(
    path: Path, dataset: DatasetDir, here: list[str], arguments: tuple[str, ...], message: str
) -> None:
    asked = ("index", "tune", str(path), str(dataset.path), "--k", "5", "--users", "10")
    kinds = () if "--index" in arguments else ("--index", "ondisk")
    told = CliRunner().invoke(application("index"), (*asked, *kinds, *arguments))
    assert isinstance(told.exception, RecsysError)
    assert message in str(told.exception)


def test_an_approximate_index_is_not_built_without_users_to_ask(path: Path, tmp_path: Path) -> None:
    built = ("index", "build", str(path), "--index", "ivf", "--to", str(tmp_path / "new"))
    told = CliRunner().invoke(application("index"), built)
    assert isinstance(told.exception, ConfigError)
    assert "DATASET" in str(told.exception)


def test_an_index_that_is_not_always_asked_is_told(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = read_manifest(path)
    _tell(manifest, tmp_path)
    assert "no index is asked" not in capsys.readouterr().out
    weighted = TierPolicy(bare=(TierThreshold(0, "popular"), TierThreshold(1, "history", 0.5))).as_settings()
    _tell(replace(manifest, ladder=weighted), tmp_path)
    assert "no index is asked" in capsys.readouterr().out


@pytest.mark.slow
def test_a_process_of_its_own_measures_each(
    path: Path, dataset: DatasetDir, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path))
    found = compare_indexes(*asked_of(path, dataset), k=5, recall=1.0, memory=None, kinds=("flat", "ondisk", "ivfpq"))
    assert [one.kind for one in found.measured] == ["flat", "ondisk"]
    assert all(one.p99_ms >= one.p50_ms > 0 and one.memory_bytes > 0 for one in found.measured)
    assert "at least 16 items" in found.failed["ivfpq"]
