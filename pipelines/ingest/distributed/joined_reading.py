"""What calls have read, put together as one reading: ids have the numbers that one reading of all would give them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.cluster.connection import Cluster
from pipelines.cluster.work import call_all
from pipelines.ingest.cleaning import Rule
from pipelines.ingest.distributed.files_read import AllMet, IdsMet, ReadFile, Reading
from pipelines.ingest.dropped_rows import ITEM_ENTITY, USER_ENTITY, LossCounts
from pipelines.ingest.file_times import TimeCounts
from pipelines.ingest.id_codes import IdCodes, Met
from pipelines.ingest.log_rows import Quarantine, ReadLogs


@dataclass(frozen=True)
class Numbers:
    """Of each number that ids of a file have there the number among those of all files: files of uint32."""

    users: Path
    items: Path
    events: Path


def read_files(cluster: Cluster, reading: Reading) -> list[ReadFile]:
    """Read all logs side by side, as if one after the other."""
    found: dict[int, ReadFile] = {}
    wanted = {number: AllMet() for number in range(len(reading.source.files))}
    while wanted:
        for one in call_all(cluster, reading.read, wanted.items()):
            found[one.number] = one
        wanted = dict(_to_read_again([found[number] for number in sorted(found)]))
    return [found[number] for number in sorted(found)]


def _to_read_again(files: Sequence[ReadFile]) -> Iterator[tuple[int, AllMet]]:
    """Files whose ids would have been numbered otherwise after those before them; seldom any."""
    met = AllMet()
    for one in files:
        if not one.holds_after(met):
            yield one.number, met
        met = met.plus(one.met)


def joined_reading(files: Sequence[ReadFile], quarantine: Quarantine, folder: Path) -> tuple[ReadLogs, list[Numbers]]:
    """All of it as one reading, and of each file what its numbers are now.

    Args:
        folder: where these numbers go.
    """
    read, numbers = ReadLogs(), []
    for one in files:
        own = folder / f"{one.number}"
        own.mkdir(parents=True)
        numbers.append(Numbers(own / "users.npy", own / "items.npy", own / "events.npy"))
        users = _joined(read.users, one.users, one.met.users, numbers[-1].users)
        items = _joined(read.items, one.items, one.met.items, numbers[-1].items)
        _joined(read.events, one.events, Met(texts=True), numbers[-1].events)
        _add_losses(read.lost, one, users, items, (len(read.users), len(read.items)))
        quarantine.take_over(one.quarantine)
        rows, lines, apart = one.read
        read.rows_in += rows
        read.lines += lines
        read.lines_apart += apart
        read.taken_for.append(one.taken_for)
        read.times.append(_times(one))
        read.files.append(one.file)
        read.columns |= one.columns
        if one.last_row is not None:
            read.last_rows[one.number] = one.last_row
    return read, numbers


def _joined(codes: IdCodes, ids: IdsMet, met: Met, path: Path) -> np.ndarray:
    numbers = codes.join(ids.ids(), met, have_prefixes=ids.have_prefixes)
    np.save(path, numbers)
    return numbers


def _times(one: ReadFile) -> TimeCounts:
    counts = TimeCounts.of(one.times)
    counts.unit = one.unit or counts.unit
    return counts


def _add_losses(lost: LossCounts, one: ReadFile, users: np.ndarray, items: np.ndarray, known: tuple[int, int]) -> None:
    by_rule = one.lost.partition_by("rule", maintain_order=True)
    for losses in by_rule:
        counts = []
        for entity, numbers, size in ((USER_ENTITY, users, known[0]), (ITEM_ENTITY, items, known[1])):
            own = losses.filter(entity=entity)
            counts.append(np.zeros(size, np.uint32))
            np.add.at(counts[-1], numbers[own["code"].to_numpy()], own["rows"].to_numpy())
        lost.count_each(Rule(losses["rule"][0]), *counts)
