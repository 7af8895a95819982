import hashlib
import importlib.util
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from zipfile import ZipFile

import pytest

from pipelines.public_datasets.download import Checksum, WebFile, Wheel
from recsys_vae.errors import DataError, StorageError, UnavailableError

CONTENT = bytes(range(256)) * 4000
SHA256 = Checksum("sha256", hashlib.sha256(CONTENT).hexdigest())


class Publisher(ThreadingHTTPServer):
    """Serves CONTENT under any path, whole or from an offset, and remembers the offsets asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.offsets: list[int] = []
        self.knows_ranges = True
        self.status = 200

    def web_file(self, checksum: Checksum = SHA256) -> WebFile:
        return WebFile(f"http://127.0.0.1:{self.server_port}/data.zip", checksum)


class _Handler(BaseHTTPRequestHandler):
    server: Publisher

    def do_GET(self) -> None:
        asked = self.headers.get("Range", "bytes=0-")
        offset = int(asked.removeprefix("bytes=").rstrip("-"))
        self.server.offsets.append(offset)
        start = offset if self.server.knows_ranges else 0
        status = self.server.status if self.server.status != 200 else 206 if start else 200
        self.send_response(416 if start >= len(CONTENT) else status)
        self.send_header("Content-Length", str(len(CONTENT[start:])))
        self.end_headers()
        self.wfile.write(CONTENT[start:])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Publisher() as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_file_arrives_whole_under_its_name(publisher, tmp_path):
    path = publisher.web_file().download(tmp_path / "new")
    assert path == tmp_path / "new" / "data.zip"
    assert path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir()] == ["data.zip"]


@pytest.mark.parametrize(("knows_ranges", "offsets"), [(True, [1000]), (False, [1000])])
def test_a_broken_download_is_continued_or_begun_anew(publisher, tmp_path, knows_ranges, offsets):
    publisher.knows_ranges = knows_ranges
    (tmp_path / "data.zip.partial").write_bytes(CONTENT[:1000])
    assert publisher.web_file().download(tmp_path).read_bytes() == CONTENT
    assert publisher.offsets == offsets


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_is_not_blamed_on_the_network(publisher, tmp_path):
    with pytest.raises(StorageError, match=r"data\.zip\.partial cannot be written: .* Make room there"):
        publisher.web_file().download(tmp_path)


def test_a_download_that_was_complete_needs_its_name_only(publisher, tmp_path):
    (tmp_path / "data.zip.partial").write_bytes(CONTENT)
    assert publisher.web_file().download(tmp_path).read_bytes() == CONTENT


def test_what_is_there_is_not_fetched_again(publisher, tmp_path):
    (tmp_path / "data.zip").write_bytes(b"checked earlier")
    assert publisher.web_file().download(tmp_path).read_bytes() == b"checked earlier"
    assert publisher.offsets == []


def test_a_wrong_checksum_leaves_nothing_behind(publisher, tmp_path):
    with pytest.raises(DataError, match="not what was published"):
        publisher.web_file(Checksum("md5", "0" * 32)).download(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_refuses_is_unavailable(publisher, tmp_path):
    publisher.status = 503
    with pytest.raises(UnavailableError, match="answers 503"):
        publisher.web_file().download(tmp_path)


def test_no_server_is_unavailable_and_what_arrived_is_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "data.zip.partial").write_bytes(CONTENT[:10])
    with pytest.raises(UnavailableError, match="does not answer"):
        WebFile("http://127.0.0.1:9/data.zip", SHA256).download(tmp_path)
    assert (tmp_path / "data.zip.partial").read_bytes() == CONTENT[:10]


def test_git_checksums_are_those_of_git(tmp_path):
    (tmp_path / "hello").write_bytes(b"hello\n")
    Checksum("git", "ce013625030ba8dba906f756967f9e9ca394464a").check(tmp_path / "hello")  # git hash-object hello


def write_wheel(folder: Path) -> Path:
    """The least that pip takes for a wheel."""
    folder.mkdir()
    path = folder / "tinylog-1.0-py3-none-any.whl"
    with ZipFile(path, "w") as wheel:
        wheel.writestr("tinylog/data.tsv", "1\t2\n")
        wheel.writestr("tinylog-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tinylog\nVersion: 1.0\n")
        wheel.writestr("tinylog-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("tinylog-1.0.dist-info/RECORD", "")
    return path


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel that the user's pip is configured to find, and no registry besides."""
    if not importlib.util.find_spec("pip"):
        pytest.skip("this environment has no pip")
    path = write_wheel(tmp_path / "registry")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(path.parent))
    return path


def test_a_wheel_comes_through_the_users_own_pip(wheel, tmp_path):
    checksum = Checksum("sha256", hashlib.sha256(wheel.read_bytes()).hexdigest())
    path = Wheel("tinylog==1.0", checksum).download(tmp_path / "downloads")
    assert path.read_bytes() == wheel.read_bytes()
    assert [p.name for p in path.parent.iterdir()] == [wheel.name]


def test_a_wheel_that_is_not_the_pinned_one_is_refused(wheel, tmp_path):
    with pytest.raises(DataError, match="not what was published"):
        Wheel("tinylog==1.0", Checksum("sha256", "0" * 64)).download(tmp_path / "downloads")


@pytest.mark.usefixtures("wheel")
def test_a_wheel_that_pip_does_not_find_is_unavailable(tmp_path):
    with pytest.raises(UnavailableError, match=r"tinylog==2\.0 failed"):
        Wheel("tinylog==2.0", SHA256).download(tmp_path / "downloads")
