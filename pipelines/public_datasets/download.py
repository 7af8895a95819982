"""Downloads: resumed where they broke off, checked before they stand under their name, with a progress bar."""

import importlib.util
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from recsys_vae.errors import DataError, UnavailableError
from recsys_vae.storage import storing

CHUNK = 1 << 18
TIMEOUT_S = 30.0
RANGE_NOT_SATISFIABLE = 416
PARTIAL_CONTENT = 206


class Origin(Protocol):
    """Somewhere a file can be had from."""

    @property
    def place(self) -> str:
        """For people: where it is."""
        ...

    def download(self, folder: Path) -> Path:
        """Bring the file into `folder` and return its path.

        Raises:
            UnavailableError: the place does not answer.
            DataError: what came is not what was published.
        """
        ...


@dataclass(frozen=True)
class Checksum:
    """What a file must be.

    Attributes:
        kind: `sha256`, `md5`, or `git` (the SHA-1 that git gives a file's content: what a repository pins).
        value: in hexadecimal.
    """

    kind: str
    value: str

    def check(self, path: Path) -> None:
        """Compare a file.

        Raises:
            DataError: it differs.
        """
        found = _digest(path, self.kind)
        if found != self.value:
            raise DataError(
                f"{path.name} is not what was published: its {self.kind} is {found}, expected {self.value}. "
                "The download was removed; try again, and if it happens twice, the publisher's file has changed."
            )


@dataclass(frozen=True)
class WebFile:
    """One file at one address."""

    url: str
    checksum: Checksum

    @property
    def place(self) -> str:
        """The address."""
        return self.url

    def download(self, folder: Path) -> Path:
        """Continue an earlier attempt where its bytes are still there."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.url.rpartition("/")[2]
        if not path.exists():
            partial = path.with_name(path.name + ".partial")
            _receive(self.url, partial)
            _settle(partial, path, self.checksum)
        return path


@dataclass(frozen=True)
class Wheel:
    """One wheel of a package registry, brought by the user's own client with the user's own configuration."""

    requirement: str
    checksum: Checksum

    @property
    def place(self) -> str:
        """The requirement, as a client takes it."""
        return f"package registry: {self.requirement}"

    def download(self, folder: Path) -> Path:
        """Ask pip for the wheel alone: nothing is installed, nothing of it is run."""
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder, prefix=".wheel-") as temporary:
            _run(
                [
                    *_pip(),
                    "download",
                    "--quiet",
                    "--no-deps",
                    "--only-binary=:all:",
                    "--dest",
                    temporary,
                    self.requirement,
                ]
            )
            (wheel,) = Path(temporary).glob("*.whl")
            path = folder / wheel.name
            _settle(wheel, path, self.checksum)
        return path


def _settle(arrived: Path, path: Path, checksum: Checksum) -> None:
    """Give a download its name, or remove it."""
    try:
        checksum.check(arrived)
    except DataError:
        arrived.unlink()
        raise
    arrived.replace(path)


def _receive(url: str, partial: Path) -> None:
    from urllib.error import (
        HTTPError,
        URLError,
    )  # the network's modules cost the commands that only read files their start
    from urllib.request import Request, urlopen

    from tqdm import tqdm

    have = partial.stat().st_size if partial.exists() else 0
    request = Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urlopen(request, timeout=TIMEOUT_S) as response:
            resumed = response.status == PARTIAL_CONTENT
            have = have if resumed else 0
            length = response.headers.get("Content-Length")
            total = have + int(length) if length else None
            with (
                storing(partial),
                partial.open("ab" if resumed else "wb") as file,
                tqdm(desc=partial.stem, initial=have, total=total, unit="B", unit_scale=True, leave=False) as bar,
            ):
                while chunk := response.read(CHUNK):
                    file.write(chunk)
                    bar.update(len(chunk))
    except HTTPError as error:
        if error.code != RANGE_NOT_SATISFIABLE:  # 416: all bytes are there already, the checksum decides
            raise UnavailableError(f"{url} answers {error.code} {error.reason}. Try again later.") from error
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise UnavailableError(
            f"{url} does not answer ({reason}). Check the network and try again: what has arrived is kept."
        ) from error


def _pip() -> Sequence[str]:
    """The client that can download without installing."""
    if importlib.util.find_spec("pip"):
        return (sys.executable, "-m", "pip")
    if uv := shutil.which("uv"):
        return (uv, "tool", "run", "pip")
    raise UnavailableError(
        f"This Python ({sys.executable}) has no pip, and uv is not installed either. "
        "Install one of them: `python -m ensurepip`, or see docs.astral.sh/uv."
    )


def _run(command: Sequence[str]) -> None:
    import subprocess

    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        complaint = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise UnavailableError(
            f"{' '.join(command[:4])} ... {command[-1]} failed: {' '.join(complaint[-2:])}. "
            "Check the network and the client's index configuration."
        )


def _digest(path: Path, kind: str) -> str:
    import hashlib

    digest = hashlib.new("sha1" if kind == "git" else kind, usedforsecurity=False)
    if kind == "git":
        digest.update(f"blob {path.stat().st_size}\0".encode())
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
