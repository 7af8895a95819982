"""Staging: whatever a log is given as becomes files here, for as long as they are read.

    s3:// gs:// az:// https://      downloaded
    a Delta or Iceberg table        its newest version, as Parquet, whether it lies here or in a bucket
    postgresql:// sqlite://         what a query finds, as Parquet

Everything after that is the same for all: every row is counted, typed and, where it breaks the contract, named.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from pipelines.sources.kinds import DATABASES, is_database, table_kind, without_user
from recsys_vae.errors import ConfigError, DataError
from recsys_vae.home import home
from recsys_vae.remote import SCHEMES, bring, is_remote, scheme_of
from recsys_vae.storage import storing

Say = Callable[[str], object]


@contextmanager
def staged(logs: Sequence[str], query: str | None = None, say: Say = lambda _: None) -> Iterator[list[str]]:
    """Logs as paths and globs of this machine; what was brought here is removed at the end.

    Args:
        logs: paths, globs and addresses.
        query: what is asked of a database, where one is among the logs.
        say: told what begins.

    Raises:
        ConfigError: an address of an unknown kind, a database without a query, or a query without a database.
        DataError: nothing is there.
        UnavailableError: a place does not answer.
    """
    _check(logs, query)
    if not any(map(_is_elsewhere, logs)):
        yield list(logs)
        return
    home().mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".staged.", dir=home(), ignore_cleanup_errors=True) as folder:
        found: list[str] = []
        with storing(home()):
            for number, log in enumerate(logs):
                place = Path(folder) / str(number)
                place.mkdir()
                found += [str(path) for path in _stage(log, query, place, say)] if _is_elsewhere(log) else [log]
        yield found


@contextmanager
def staged_file(place: str | None, say: Say = lambda _: None) -> Iterator[Path | None]:
    """The same of one table that is given by a path or an address, or not at all.

    Raises:
        ConfigError: an address of an unknown kind, or of a database.
        DataError: nothing, or several files are there.
        UnavailableError: the place does not answer.
    """
    if place is None:
        yield None
        return
    with staged([place], say=say) as found:
        if len(found) != 1:
            raise DataError(f"{place} names {len(found)} files, expected one.")
        yield Path(found[0])


def _check(logs: Sequence[str], query: str | None) -> None:
    asked = [log for log in logs if is_database(log)]
    for log in logs:
        scheme = scheme_of(log)
        if scheme and not (is_remote(log) or is_database(log)):
            known = ", ".join(f"{name}://" for name in (*SCHEMES, *DATABASES))
            raise ConfigError(f"{scheme}:// is no kind of address that logs are read from. Known: {known}.")
    if asked and not query:
        raise ConfigError(f"--query says what to read from {without_user(asked[0])}: 'SELECT ... FROM ...'.")
    if query and not asked:
        raise ConfigError("--query is for a database among the logs, such as postgresql://host/name: name one.")


def _is_elsewhere(log: str) -> bool:
    return bool(scheme_of(log)) or table_kind(Path(log).expanduser()) is not None


def _stage(log: str, query: str | None, to: Path, say: Say) -> list[Path]:
    from pipelines.sources import databases, lake_tables  # what reads these takes long to import

    if is_database(log):
        assert query is not None
        say(f"asking {without_user(log)}")
        return [databases.read_query(log, query, to / "query.parquet")]
    if is_remote(log):
        if (kind := lake_tables.kind_at(log)) is not None:
            say(f"reading the {kind} table {log}")
            return [lake_tables.read_table(log, kind, to)]
        say(f"downloading {log}")
        return bring(log, to)
    path = Path(log).expanduser()
    kind = table_kind(path)
    assert kind is not None
    say(f"reading the {kind} table {path}")
    return [lake_tables.read_table(str(path), kind, to)]
