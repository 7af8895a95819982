"""Remote places: files at s3://, gs://, az:// and https://, by way of fsspec, which finds credentials by itself.

What is read is brought here first, whole; what is written is made here and sent as one object. So everything else deals
with files of this machine only. Credentials come from where each provider's own tools take them (environment, files,
machine roles), never from an address: one that holds a password is refused.
"""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import urlsplit

from recsys_vae.errors import ConfigError, DataError, UnavailableError, first_line
from recsys_vae.extras import explained

SCHEMES: Final = ("s3", "gs", "az", "abfs", "abfss", "https", "http")
"""Of addresses that are read; all but the web's are written, too."""
WEB: Final = ("https", "http")
MAGIC: Final = frozenset("*?[")


def scheme_of(place: str | Path) -> str:
    """What stands before `://` in an address; empty for a path of this machine."""
    head, mark, _ = str(place).partition("://")
    return head.lower() if mark and head.replace("+", "").isalnum() else ""


def is_remote(place: str | Path) -> bool:
    """Whether it is an address of a kind that is read here."""
    return scheme_of(place) in SCHEMES


@contextmanager
def brought_here(place: str | Path) -> Iterator[Path]:
    """A directory or file as one of this machine: as it is, or, of an address, for as long as the context lasts.

    Raises:
        DataError: nothing is there.
        UnavailableError: the place does not answer, or refuses.
    """
    if not is_remote(place):
        yield Path(place)
        return
    with TemporaryDirectory(prefix="recsys-remote-", ignore_cleanup_errors=True) as folder:
        found = bring(str(place), Path(folder))
        yield found[0] if len(found) == 1 else Path(folder)


def bring(address: str, to: Path) -> list[Path]:
    """Download what an address names: a file, all files of a directory, or those that fit a glob.

    Args:
        address: such as `s3://bucket/logs/*.csv.gz`.
        to: folder of this machine, which is there.

    Returns:
        A path below `to` for each file or directory that the address names, sorted by name.

    Raises:
        DataError: nothing is there.
        ConfigError: the address holds a password, or its kind needs a package that is not installed.
        UnavailableError: the place does not answer, or refuses.
    """
    with reached(address) as (files, path):
        named = sorted(files.glob(path)) if MAGIC & set(path) and scheme_of(address) not in WEB else [path]
        if not named or not all(map(files.exists, named)):
            raise DataError(f"There is nothing at {address}. Give files, directories or quoted globs.")
        return [_bring(files, one, to / PurePosixPath(one.rstrip("/")).name) for one in named]


def send(file: Path, address: str) -> None:
    """Upload a file to an address, where it appears whole.

    Raises:
        ConfigError: it is an address of the web, which is only read, or holds a password.
        UnavailableError: the place does not answer, or refuses.
    """
    if scheme_of(address) in WEB:
        raise ConfigError(f"{address} can be read and not written to. Name a file here, or an address of a bucket.")
    with reached(address) as (files, path):
        files.put_file(str(file), path)


def names_below(address: str) -> list[str]:
    """Of all files below a directory, as seen from there, in order; none where nothing is there.

    Raises:
        UnavailableError: the place does not answer, or refuses.
    """
    with reached(address) as (files, path):
        files.invalidate_cache()  # others write there, too
        return sorted(str(PurePosixPath(file).relative_to(path.rstrip("/"))) for file in files.find(path))


def remove(address: str, names: Iterable[str]) -> None:
    """Remove files below a directory; those that are not there are passed over.

    Raises:
        UnavailableError: the place does not answer, or refuses.
    """
    with reached(address) as (files, path):
        for name in names:
            with suppress(FileNotFoundError):
                files.rm_file(f"{path.rstrip('/')}/{name}")


def check_address(address: str) -> None:
    """Raise ConfigError where an address holds a password or names no file."""
    parts = urlsplit(address)
    if parts.password or parts.username:
        raise ConfigError(
            f"{scheme_of(address)}://{parts.hostname}/... holds a user or a password. Leave it out of the address: "
            "credentials come from the environment, as for the provider's own tools."
        )
    if not parts.netloc or not parts.path.strip("/"):
        raise ConfigError(f"{address!r} names no file. Expected SCHEME://BUCKET/PATH.")


@contextmanager
def reached(address: str) -> Iterator[tuple[Any, str]]:
    """The file system of an address, and the path in it; what goes wrong there is one kind of error."""
    check_address(address)
    with explained():
        import fsspec
    try:
        files, path = fsspec.core.url_to_fs(address)
        yield files, path
    except ImportError as error:
        raise ConfigError(
            f"{scheme_of(address)}:// needs a package that is not installed: pip install {_package(address)}."
        ) from error
    except FileNotFoundError as error:
        raise DataError(f"There is nothing at {address} ({error}).") from error
    except PermissionError as error:
        raise UnavailableError(f"{address} may not be read or written with the credentials here: {error}.") from error
    except (ConfigError, DataError):
        raise
    except Exception as error:  # of botocore, aiohttp, google.auth ..., which have no common class
        raise UnavailableError(f"{address} does not answer: {first_line(error)}") from error


def _package(address: str) -> str:
    return {"s3": "s3fs", "gs": "gcsfs", "https": "aiohttp", "http": "aiohttp"}.get(scheme_of(address), "adlfs")


def _bring(files: Any, source: str, to: Path) -> Path:
    """One file, or a directory with all that is below it."""
    to.parent.mkdir(parents=True, exist_ok=True)
    if not files.isdir(source):
        _copy(files, source, to)
        return to
    base = PurePosixPath(source.rstrip("/"))
    for file in files.find(source):
        _copy(files, file, to / PurePosixPath(file).relative_to(base))
    return to


def _copy(files: Any, source: str, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    with files.open(source, "rb") as reader, to.open("wb") as writer:
        shutil.copyfileobj(reader, writer, 1 << 22)
