"""An ingest on a cluster makes the very files that one machine makes."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from threading import Timer

import polars as pl
import pytest

from pipelines.dataset.directory import DatasetDir
from pipelines.ingest.cleaning import CleaningRules
from pipelines.ingest.distributed.files_read import AllMet, Reading
from pipelines.ingest.distributed.run import ClusterRun
from pipelines.ingest.ingest import ingest
from pipelines.ingest.keep import Keep
from pipelines.ingest.log_sources import Source
from recsys_vae.errors import ConfigError, EmptyDataError
from tests.ray_clusters import replace_node


def _csv(path: Path, seed: int, *, rows: int = 300, user: str = "u{}", item: str = "i{}", second: int = 1) -> Path:
    """Rows with dirt, repeats and several event types."""
    draw = random.Random(seed)
    lines = ["user_id,item_id,event_type,weight,timestamp"]
    for _ in range(rows):
        who, what = user.format(draw.randrange(40)), item.format(draw.randrange(25))
        kind, moment = draw.choice(["view", "view", "buy", "hide"]), 1_600_000_000 + draw.randrange(1_000_000)
        lines.append(f"{who},{what},{kind},{draw.choice([1, 2, 5])},{moment * second}")
    lines += [f"{user.format(f'only{seed}')},i2,view,much,1600000000"]
    lines += ["u1,,view,1,1600000000", "u1,i2,view,much,1600000000", "u1,i2,view,1,yesterday", 'u1,"i2,view']
    path.write_text("\n".join(lines) + "\n")
    return path


def _milliseconds_later(path: Path) -> Path:
    _csv(path, 1)
    with path.open("a") as file:
        file.writelines(f"u1,i{place},view,1,{1_600_000_000_000 + place}\n" for place in range(900))
    return path


def _numbers(path: Path, seed: int, *, first: int = 0) -> Path:
    draw = random.Random(seed)
    rows = {
        "user_id": [first + draw.randrange(40) for _ in range(200)],
        "item_id": [draw.randrange(25) for _ in range(200)],
        "timestamp": [1_600_000_000 + draw.randrange(1_000_000) for _ in range(200)],
    }
    pl.DataFrame(rows).write_parquet(path)
    return path


def _json(path: Path, seed: int) -> Path:
    draw = random.Random(seed)
    lines = [
        f'{{"user_id": "u{draw.randrange(40)}", "item_id": {draw.randrange(25)}, "timestamp": {1_600_000_000 + place}}}'
        for place in range(200)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


_LOGS: dict[str, Callable[[Path], tuple[Path, ...]]] = {
    "text": lambda folder: tuple(_csv(folder / f"{number}.csv", number) for number in range(4)),
    "numbers": lambda folder: tuple(_numbers(folder / f"{n}.parquet", n, first=10 * n) for n in range(3)),
    "numbers after texts": lambda folder: (
        _csv(folder / "a.csv", 1),
        _numbers(folder / "b.parquet", 2),
        _numbers(folder / "c.parquet", 3),
    ),
    "odd ids": lambda folder: (
        _csv(folder / "a.csv", 1, user=" u{} "),
        _csv(folder / "b.csv", 2),
        _csv(folder / "c.csv", 3, user="{}.0"),
    ),
    "numbers as texts": lambda folder: (
        _csv(folder / "a.csv", 1, user="{}.0", item="{}"),
        _csv(folder / "b.csv", 2, user="{}", item="{}.0"),
    ),
    "another unit": lambda folder: (_milliseconds_later(folder / "a.csv"), _csv(folder / "b.csv", 2, second=1000)),
    "json": lambda folder: (_json(folder / "a.jsonl", 1), _json(folder / "b.jsonl", 2), _csv(folder / "c.csv", 3)),
}


_CASES: dict[str, tuple[str, CleaningRules]] = {
    "plain": ("text", CleaningRules()),
    "numbers": ("numbers", CleaningRules(min_user=5, min_item=4)),
    "numbers after texts": ("numbers after texts", CleaningRules()),
    "odd ids": ("odd ids", CleaningRules()),
    "numbers as texts": ("numbers as texts", CleaningRules(keep=Keep.FIRST)),
    "another unit": ("another unit", CleaningRules()),
    "json": ("json", CleaningRules(min_user=3)),
    "core": ("text", CleaningRules(min_user=13, min_item=15)),
    "events": ("text", CleaningRules(event_weights=(("view", 1.0), ("buy", 3.0)), keep=Keep.MAX)),
    "losses": ("text", CleaningRules(min_rating=2, keep=Keep.SUM, max_events_per_user=35)),
    "dislikes": ("text", CleaningRules(dislikes=("hide",), min_user=3)),
}


def hashes(folder: Path) -> dict[str, str]:
    """Of all files of a dataset."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes().replace(folder.name.encode(), b"NAME")
            found[str(path.relative_to(folder))] = sha256(content).hexdigest()
    return found


@pytest.mark.parametrize("rows_per_part", [150, 1_000_000])
@pytest.mark.parametrize("case", _CASES)
def test_the_files_are_those_of_one_machine(case, rows_per_part, either, tmp_path):
    kind, rules = _CASES[case]
    source = Source(_LOGS[kind](tmp_path))
    one, many = DatasetDir(tmp_path / "one_machine"), DatasetDir(tmp_path / "on_cluster")
    told = ingest(source, one, rules, rows_per_part=rows_per_part)
    ingest(source, many, rules, rows_per_part=rows_per_part, begin=partial(ClusterRun, cluster=either))
    assert hashes(many.path) == hashes(one.path)
    assert told.kept.interactions > 0
    assert {"interactions.parquet", "losses.parquet", "accepted/rows-0.arrow"} <= hashes(many.path).keys()


@pytest.mark.parametrize("rows_per_part", [150, 1_000_000])
def test_a_published_test_part_is_the_same(rows_per_part, either, tmp_path):
    logs = _LOGS["text"](tmp_path)
    source = Source(logs[:3], given_test=logs[3:])
    one, many = DatasetDir(tmp_path / "one_machine"), DatasetDir(tmp_path / "on_cluster")
    ingest(source, one, rows_per_part=rows_per_part)
    ingest(source, many, rows_per_part=rows_per_part, begin=partial(ClusterRun, cluster=either))
    assert hashes(many.path) == hashes(one.path)
    assert many.given_test_path.exists()


@pytest.mark.slow
def test_nodes_that_die_in_every_step_change_nothing(started, cluster, tmp_path):
    source, rules = Source(_LOGS["text"](tmp_path)), CleaningRules(min_user=13, min_item=15)
    one, many = DatasetDir(tmp_path / "one_machine"), DatasetDir(tmp_path / "on_cluster")
    ingest(source, one, rules, rows_per_part=60)
    killed = []

    def step(name: str) -> None:
        """While the step is under way, a node goes and another one comes."""

        def replace() -> None:
            replace_node(started)
            killed.append(name)

        threads.append(Timer(0.3, replace))
        threads[-1].start()

    threads: list[Timer] = []
    ingest(source, many, rules, rows_per_part=60, step=step, begin=partial(ClusterRun, cluster=cluster))
    for thread in threads:
        thread.join()
    assert hashes(many.path) == hashes(one.path)
    assert len(killed) == 7


def test_returns_and_what_is_not_kept_are_the_same(either, tmp_path):
    log = tmp_path / "log.csv"
    rows = [f"u{place % 7},i{place % 3},{-1 if place % 5 == 0 else 2},{1_600_000_000 + place}" for place in range(200)]
    log.write_text("\n".join(["user_id,item_id,weight,timestamp", *rows]) + "\n")
    one, many = DatasetDir(tmp_path / "one_machine"), DatasetDir(tmp_path / "on_cluster")
    rules = CleaningRules(returns=True)
    ingest(Source((log,)), one, rules, rows_per_part=20, appendable=False)
    begin = partial(ClusterRun, cluster=either)
    ingest(Source((log,)), many, rules, rows_per_part=20, appendable=False, begin=begin)
    assert hashes(many.path) == hashes(one.path)
    assert not (many.path / "accepted").exists()


def test_names_of_logs_are_relative_to_where_the_command_was_given(tmp_path, monkeypatch):
    _csv(tmp_path / "log.csv", 1)
    reading = Reading(Source((Path("log.csv"),)), CleaningRules(), tmp_path / "parts", 100, True, tmp_path)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert reading.read(0, AllMet()).read[0] == 305
    gone = replace(reading, where=tmp_path / "gone")
    with pytest.raises(
        ConfigError, match=r"log.csv is named relative to .*gone, which a node of the cluster does not see"
    ):
        gone.read(0, AllMet())


def test_errors_are_those_of_one_machine(either, tmp_path):
    source, target = Source(_LOGS["text"](tmp_path)), DatasetDir(tmp_path / "data")
    untimed, empty = tmp_path / "untimed.csv", tmp_path / "empty.csv"
    untimed.write_text("user_id,item_id\na,b\n")
    empty.touch()
    begin = partial(ClusterRun, cluster=either)
    with pytest.raises(EmptyDataError, match=r"None of the .* rows is left"):
        ingest(source, target, CleaningRules(min_user=1000), begin=begin)
    with pytest.raises(ConfigError, match="--since or --until needs a column 'timestamp'"):
        ingest(Source((untimed,)), target, CleaningRules(since=datetime(2020, 1, 1, tzinfo=UTC)), begin=begin)
    with pytest.raises(EmptyDataError, match="is empty"):
        ingest(Source((empty,)), target, begin=begin)
    assert not target.path.exists()
