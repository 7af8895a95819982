"""Coverage-guided fuzzing of what Python does of reading a log: `make fuzz-logs`, which brings atheris.

The first byte of an input says what is tried with the others. A file of them is recognised, read, and its rows are
held against the contract; lines are texts of a column, read as times, ids, numbers and counts; or what is said of files
on the command line. What is bad may be refused by an error of ours that does not call itself a fault; all else is a
finding: a traceback, a row or line that is not accounted for, a value out of its range, or a value that is read
otherwise beside others than alone.
"""

import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["pipelines.ingest"]):
    import polars as pl

    from pipelines.ingest import ids, times
    from pipelines.ingest.formats.catalog import FORMATS
    from pipelines.ingest.formats.recognition import Says, look_at
    from pipelines.ingest.log_files import ColumnMap
    from pipelines.ingest.log_sources import Source
    from pipelines.ingest.said import Said, parse_prefixes, split_column_option, split_plain_option
    from pipelines.ingest.table_schemas import INTERACTIONS, judged
    from recsys_vae.data import columns as c
    from recsys_vae.errors import RecsysError

FAULT = "fault of"
"""In the words of errors that tell of a fault of ours."""
SEEDS = sorted(path for path in Path("tests/formats").glob("*/*") if path.is_file())
NAMES = ("log.csv", "log.tsv", "log.json", "log.jsonl", *dict.fromkeys(path.name for path in SEEDS))
FOLDER = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
OURS = pl.Schema(dict.fromkeys((column.name for column in INTERACTIONS.columns), pl.String()))


def try_input(data: bytes) -> None:
    """One input."""
    if len(data) < 2:
        return
    what, drawn, rest = data[0], data[1], data[2:]
    if what % 2:
        try_file(what // 2, drawn, rest)
    elif what % 4:
        try_values(drawn, rest)
    else:
        try_said(rest.decode("utf-8", "replace").split("\n"))


def try_file(name: int, drawn: int, content: bytes) -> None:
    """Recognise a file, read all of it, and hold its rows against the contract."""
    path = FOLDER / NAMES[name % len(NAMES)]
    path.write_bytes(content)
    try:
        if drawn % 8 == 1:
            look_at(path, Says(format=list(FORMATS)[drawn // 8 % len(FORMATS)]))
        log = Source((path,)).log(path)
        reader = log.open()
        for block in reader:
            block.check(path.name)
            found = block.whole()
            if found.height != block.height and found.width:
                raise AssertionError(f"{found.height} rows where there are {block.height} in {content!r}")
            names = {ours: theirs for ours, theirs in log.mapping.all_names().items() if theirs in found.columns}
            check_contract(found.select(**{ours: pl.col(theirs) for ours, theirs in names.items()}))
        if reader.tally.lines != reader.tally.records + reader.tally.apart:
            raise AssertionError(f"{reader.tally} of {content!r}")
    except RecsysError as refused:
        if FAULT in str(refused):
            raise
    finally:
        path.unlink()


def check_contract(rows: pl.DataFrame) -> None:
    """Every row keeps the contract or breaks it for a reason, by its words and without them."""
    if not {c.USER, c.ITEM} <= set(rows.columns) or not rows.height:
        return
    unit = times.Unit.of(times.count_units(rows[c.TIMESTAMP])) if c.TIMESTAMP in rows.columns else None
    table = judged(unit)
    with_words, read = table.assess(rows.lazy()).collect(), table.read(rows.lazy()).collect()
    if not with_words[c.REASON].is_null().equals(read[c.REASON].is_null()) or read.height != rows.height:
        raise AssertionError(f"{with_words} is not {read}: {rows.to_dict(as_series=False)}")
    good = read.filter(pl.col(c.REASON).is_null())
    check_range(good[c.TIMESTAMP])
    if (~good[c.WEIGHT].drop_nulls().is_between(c.LEAST_WEIGHT, c.GREATEST_WEIGHT)).any():
        raise AssertionError(f"weights {good[c.WEIGHT]}")


def check_range(moments: pl.Series) -> None:
    """None is out of the range that a later reader can hold."""
    if (~moments.drop_nulls().is_between(c.EARLIEST, c.LATEST)).any():
        raise AssertionError(f"times {moments}")


def try_values(drawn: int, data: bytes) -> None:
    """Texts of a column."""
    texts = pl.Series("text", data.decode("utf-8", "replace").split("\n"), dtype=pl.String)
    unit = [*times.Unit, None][drawn % (len(times.Unit) + 1)]
    read = times.read_times(texts, unit)
    why = times.why_no_times(texts, unit)
    if not len(read) == len(why) == len(texts):
        raise AssertionError(f"{len(read)} times of {len(texts)} texts")
    place = drawn % len(texts)
    if unit is not None and not times.read_times(texts[place : place + 1], unit).equals(read[place : place + 1]):
        raise AssertionError(f"{texts[place]!r} in {unit} is {read[place]} beside others")
    check_contract(pl.DataFrame([texts.alias(name) for name in OURS]))
    plain = ids.read_column(texts)
    if not ids.read_ids(plain, without_zeros=False).equals(plain):
        raise AssertionError(f"ids {plain} are others once more")


def try_said(options: Sequence[str]) -> None:
    """What is said of files: refused, or it holds."""
    path = FOLDER / "log.csv"
    with suppress(RecsysError):
        maps = tuple(map(split_column_option, options))
        plain = tuple(map(split_plain_option, options))
        said = Said(tables=Says(separator=options[0], columns=tuple(options[1:])), formats=plain, maps=maps)
        said.mapping_of(path)
        said.of(path)
    for read in (ColumnMap.parse, parse_prefixes):
        with suppress(RecsysError):
            read(options)


def write_seeds(folder: Path) -> None:
    """Files of all formats, under their names."""
    for number, path in enumerate(SEEDS):
        data = bytes([2 * NAMES.index(path.name) + 1, 0]) + path.read_bytes()
        (folder / f"seed-{number}").write_bytes(data)


if __name__ == "__main__":
    write_seeds(Path(sys.argv[-1]))  # where what is met is kept, too
    atheris.Setup(sys.argv, try_input)
    atheris.Fuzz()
