"""Estimates grow as their formulas say, and the command tells them and refuses what cannot fit."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from typer.testing import CliRunner

from pipelines.cli import build
from pipelines.commands.size import _fitting
from pipelines.sizing import calibration
from pipelines.sizing.calibration import Calibration, calibrated
from pipelines.sizing.estimate import Workload, stages, width_of
from pipelines.sizing.index_bytes import all_kinds, index_bytes
from pipelines.sizing.workloads import of_numbers
from recsys_vae.errors import ConfigError
from recsys_vae.models.catalog import configure
from recsys_vae.models.cost import Sizes
from recsys_vae.native.quantised import quantise
from recsys_vae.retrieval.index_files import KINDS, file_of, write_index
from recsys_vae.training.config import TrainingConfig

MIB = 1 << 20
MACHINE = Calibration(
    machine="",
    flops=1e10,
    solve_flops=5e9,
    bandwidth=1e10,
    ingest_seconds=1.0,
    ingest_row_seconds=2e-6,
    ingest_bytes=200.0 * MIB,
    train_bytes=600.0 * MIB,
    gradient_bytes=800.0 * MIB,
    serve_bytes=400.0 * MIB,
)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """This one, as if it had been measured."""
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path / "home"))
    kept = asdict(MACHINE) | {"machine": calibration._machine()}
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / calibration.FILE).write_text(json.dumps(kept))


def of(work, model, **settings):
    return {stage.name: stage for stage in stages(work, model, configure(model, settings), MACHINE)}


def test_a_dense_model_is_told_by_its_matrix():
    work = Workload(10**6, Sizes(10**5, 10_000, 10**6, 1e9, 1e8))
    said = of(work, "ease")
    # Counting neighbours, beside the model, takes more than learning it in place.
    assert said["training"].memory == pytest.approx(600 * MIB + 4e8 + 8e4 + 100e6 + 12 * 2**24)
    assert said["training"].seconds == pytest.approx((2e9 + 1e12) / 5e9)
    weights, neighbours, items = 4e8 + 8e4, 14.4 * 200 * 10**4, 20e4
    assert said["bundle"].disk == pytest.approx(weights + neighbours + items)
    assert said["serving"].memory == pytest.approx(400 * MIB + weights + neighbours + items)


def test_ingest_holds_rows_up_to_a_bound():
    few, many, more = (of(of_numbers(1000, 1000, rows), "popularity")["ingest"] for rows in (10**6, 10**7, 10**8))
    assert few.seconds == pytest.approx(3.0)
    assert few.memory == pytest.approx(200 * MIB + 97e6 + 63e6 + 117 * 2000)
    assert many.memory == more.memory > few.memory  # type: ignore[operator]
    assert many.memory == pytest.approx(200 * MIB + 35 * 4e6 + 1.4 * 97e6 + 117 * 2000)


def test_leaves_hold_gradients_of_every_level_of_every_thread(monkeypatch):
    work, config = Workload(10**6, Sizes(10**5, 10_000, 10**6, 1e9, 1e8)), configure("mult-vae", {})
    weights = 4 * (1200 * 10_000 + 10_000 + 600 * 400 + 200 * 600 + 600 + 400 + 600)
    for threads, gradients in ((1, 2), (2, 3), (4, 3), (6, 3)):
        monkeypatch.setattr("torch.get_num_threads", lambda threads=threads: threads)
        whole, leaves, sampled = (
            stages(work, "mult-vae", config, MACHINE, TrainingConfig(**how))[1]
            for how in ({}, {"leaves": 4}, {"leaves": 4, "likelihood": "sampled"})
        )
        assert leaves.memory - whole.memory == gradients * weights
        assert sampled.memory == whole.memory
        assert leaves.seconds == pytest.approx(1.15 * whole.seconds)
        assert sampled.seconds is None


@pytest.mark.parametrize(("n_items", "is_told"), [(300_000, True), (300_001, False)])
def test_time_is_not_told_where_steps_look_at_a_sample_of_the_items(n_items, is_told):
    work = Workload(10**6, Sizes(10**5, n_items, 10**6, 1e9, 1e8))
    found = stages(work, "mult-vae", configure("mult-vae", {}), MACHINE)[1]
    assert (found.seconds is not None) == is_told


def test_item_vectors_are_as_wide_as_the_model_makes_them():
    assert width_of("ease", configure("ease", {})) == 0
    assert width_of("elsa", configure("elsa", {"factors": 64})) == 64
    assert width_of("popularity", configure("popularity", {})) == 1


def test_an_index_takes_what_its_kind_holds():
    n, d = 10_000, 33
    sizes = {one.kind: one for one in all_kinds(n, d)}
    vectors, codes, lists = 4 * n * d, n * (32 + 20 + 16 + 16), 256
    assert (sizes["flat"].disk, sizes["flat"].memory) == (vectors, vectors + codes)
    assert sizes["ondisk"].disk == vectors + n * (32 + 24)
    assert sizes["ondisk"].memory == sizes["ondisk"].disk + 4 * n
    assert sizes["ivf"].disk == 4 * n * 34 + 8 * n + 4 * lists * 34
    assert sizes["ivfpq"].disk == n * (5 + 8) + 4 * lists * 40 + 1024 * 40
    assert sizes["hnsw"].disk == pytest.approx(4 * n * 34 + 4 * n * (64 + 32 / 31) + 12 * n)
    for kind in ("ivf", "ivfpq", "hnsw"):
        assert sizes[kind].memory == vectors + codes + sizes[kind].disk
    assert index_bytes("ondisk", n, 0).disk == 0


@pytest.mark.parametrize("d", [33, 130, 449, 450])
def test_codes_are_as_large_as_is_told(d):
    vectors = np.random.default_rng(0).standard_normal((16_000, d), dtype=np.float32)
    if (made := quantise(vectors)) is None:
        pytest.skip("codes take compiled loops")
    held = made.codes.nbytes + made.facts.nbytes + (0 if made.tiles is None else made.tiles.nbytes)
    assert index_bytes("flat", *vectors.shape).memory == vectors.nbytes + held


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_an_index_are_as_large_as_is_told(tmp_path, kind):
    vectors = np.random.default_rng(0).standard_normal((2000, 33), dtype=np.float32)
    write_index(tmp_path, vectors, kind, queries=vectors[:5], min_recall=1e-9)
    assert (tmp_path / file_of(kind)).stat().st_size == pytest.approx(index_bytes(kind, *vectors.shape).disk, rel=0.1)


def test_a_log_of_numbers_alone_has_at_most_all_pairs():
    work = of_numbers(100, 50, 10**6)
    assert work.sizes.n_interactions <= 100 * 50
    assert work.sizes.together <= 50**2
    with pytest.raises(ConfigError, match="at least 1"):
        of(Workload(0, Sizes(1, 1, 1)), "ease")


def test_the_command_tells_and_refuses(machine):
    sizes = ["--users", "100000", "--items", "40000", "--events", "5000000", "--model", "ease"]
    run = CliRunner()
    fits = run.invoke(build(), ["size", *sizes, "--memory", "64"])
    assert fits.exit_code == 0, fits.output
    assert "64.0 GiB of memory to fit into" in fits.output
    for step in ("ingest", "training", "bundle", "serving"):
        assert step in fits.output
    refused = run.invoke(build(), ["size", *sizes, "--memory", "4"])
    assert refused.exit_code == 1
    assert isinstance(refused.exception, ConfigError)
    assert "--model" in str(refused.exception)
    mixed = run.invoke(build(), ["size", "shop", "--users", "5"])
    assert "sizes of its own" in str(mixed.exception)


def test_the_command_tells_every_kind_of_index(machine):
    sizes = ["size", "--users", "1000", "--items", "1000000", "--events", "10000", "--model", "elsa"]
    sizes += ["--set", "factors=128"]
    run = CliRunner()
    fits = run.invoke(build(), [*sizes, "--memory", "64"])
    assert fits.exit_code == 0, fits.output
    assert all(kind in fits.output for kind in KINDS)
    unknown = run.invoke(build(), [*sizes, "--index", "tree"])
    assert "tree" in str(unknown.exception)


def test_kinds_of_index_with_which_a_worker_fits_are_named_the_smallest_first():
    work, config = of_numbers(1000, 10**6, 10**4), configure("elsa", {"factors": 128})
    found = {kind: stages(work, "elsa", config, MACHINE, index=kind) for kind in ("hnsw", "ivfpq", "flat")}
    free = found["ivfpq"][3].memory
    told = _fitting(found, free)
    assert told.startswith("--index flat (fits in 1.6 GiB), --index ivfpq (fits in 1.6 GiB), ")
    assert "hnsw" not in told
    assert not _fitting(found, 1.0)


def test_a_machine_is_measured_again_only_when_it_is_another(machine, monkeypatch, tmp_path):
    monkeypatch.setattr(calibration, "measure", lambda: MACHINE)
    assert calibrated().machine == calibration._machine()
    assert calibrated(afresh=True) == MACHINE
    (tmp_path / "home" / calibration.FILE).write_text("{}")
    told = []
    assert calibrated(say=told.append) == MACHINE
    assert len(told) == 1


def test_verbs_tell_what_they_took_also_where_they_end_their_process_themselves(tmp_path):
    (tmp_path / "log.csv").write_text("user_id,item_id,timestamp\n" + "".join(f"u{n % 3},i{n},{n}\n" for n in range(9)))
    seconds, peak = calibration.run_verb(tmp_path, "ingest", str(tmp_path / "log.csv"), "--to", "log")
    assert seconds > 0
    assert peak > 10 * MIB
    with pytest.raises(calibration.CalibrationError, match="recsys ingest fails"):
        calibration.run_verb(tmp_path, "ingest", str(tmp_path / "none.csv"), "--to", "log")


def test_lists_and_neighbours_of_more_events_than_fit_are_refused_though_the_model_fits(machine):
    sizes = ["--users", "60000000", "--items", "500", "--events", "900000000", "--model", "ease"]
    done = CliRunner().invoke(build("size"), ["size", *sizes, "--memory", "24"])
    assert "lists and neighbours of items are counted: that takes about 83.8" in str(done.exception)
    assert (
        "-"
        not in str(CliRunner().invoke(build("size"), ["size", *sizes, "--memory", "0"]).exception).split("and ")[-1][:9]
    )


def test_users_of_any_number_are_sized_without_a_table_of_them():
    work = of_numbers(10**15, 1000, 10**15)
    assert (work.rows, work.sizes.n_users, work.sizes.n_items) == (10**15, 10**15, 1000)
    assert (
        CliRunner().invoke(build("size"), ["size", "--users", "1", "--items", "9" * 12, "--events", "1"]).exit_code == 2
    )


def test_tables_that_are_shared_out_are_told_of_each_worker():
    work, config = Workload(10**6, Sizes(10**4, 10**6, 10**6, 1e8, 1e8)), configure("mult-vae", {})
    weights = 1200 * 10**6 + 10**6 + 600 * 400 + 200 * 600 + 600 + 400 + 600
    shared = TrainingConfig(leaves=4, likelihood="sampled", shard_items=True)
    whole, alone, two, many = (
        stages(work, "mult-vae", config, MACHINE, how, workers)[1].memory
        for how, workers in ((TrainingConfig(), 1), (shared, 1), (shared, 2), (shared, 64))
    )
    assert whole - alone == pytest.approx((20 - 12) * weights - 20 * 10**6)  # every worker draws items
    assert alone - two == pytest.approx(12 * weights / 2)
    assert many > 2**30  # what comes afterwards is one process's
    rowwise = replace(shared, table_optimizer="rowwise_adam")
    small = replace(rowwise, table_precision="bfloat16")
    taken = {how: stages(work, "mult-vae", config, MACHINE, how, 1)[1].memory for how in (rowwise, small)}
    assert alone - taken[rowwise] == pytest.approx(8 * weights - 26 * 10**6)
    assert taken[rowwise] - taken[small] == pytest.approx(2 * weights)
