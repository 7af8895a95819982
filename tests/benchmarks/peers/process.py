"""A peer in its own environment and process, asked and answering in lines of JSON."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parents[3]
PYTHONS = {name: ROOT / f".venv-peers-{name}" / "bin" / "python" for name in ("recbole", "implicit", "lightfm")}
PYTHONS["project"] = Path(sys.executable)


def _folder(environment: str) -> str:
    return "" if environment == "project" else "peers."


class Peer:
    """A script of this folder, running until the block ends.

    Raises:
        FileNotFoundError: its environment has not been made.
        RuntimeError: it ended without an answer; what it said stands on standard error.
    """

    def __init__(self, environment: str, script: str, *arguments: str, threads: int | None = None) -> None:
        python = PYTHONS[environment]
        if not python.is_file():
            raise FileNotFoundError(f"{python} is missing. Make the peers' environments: make peers")
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
        limits = {} if threads is None else dict.fromkeys(names, str(threads))
        self.script = script
        self._process = subprocess.Popen(
            [str(python), "-W", "ignore", "-m", f"tests.benchmarks.{_folder(environment)}{script}", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            cwd=ROOT,
            env={**os.environ, **limits},
        )

    def __enter__(self) -> "Peer":
        self.ready = self._answer()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        if kind is not None:
            self._process.terminate()
        self._process.stdin.close()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def ask(self, question: Any) -> dict[str, Any]:
        """Send one line, wait for its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"The peer {self.script} ended without an answer (status {self._process.wait()}).")
        return dict(json.loads(line))
