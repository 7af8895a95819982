"""Real processes without the seconds in which they import torch and MLflow: forked from one that has imported them.

A test that kills a process, or reads what one prints, needs one of its own; it does not need the imports once more. One
process a test session waits at a socket, forks for whoever asks, and runs a module there as `python -m` does, with the
arguments, environment, folder and streams of the one who asks.

    python -m tests.prepared SOCKET                          waits
    python -S tests/prepared.py SOCKET MODULE ARGUMENTS ...  runs MODULE in a fork, hands signals on, ends as it ends
    python -S tests/prepared.py SOCKET -c CODE ARGUMENTS ... runs CODE
"""

import array
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

TYPE_CHECKING = False  # importing it from typing takes longer than a fork
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, NoReturn

ROOT = Path(__file__).parents[1]
IMPORTED = (
    "fastapi",
    "jinja2",
    "structlog",
    "torch.distributed",
    "typer.rich_utils",
    "uvicorn",
    "mlflow.pyfunc",
    "optuna",
    "recsys_vae.training.tracking",
    "pipelines.artifacts.registration",
    "pipelines.evaluation.evaluate",
    "pipelines.recommend",
    "pipelines.training.publish",
    "pipelines.tuning.tune",
    "service.store.events",
)
"""What takes long, and neither starts threads of Python nor looks at the environment."""
LONGEST_REQUEST = 1 << 20


class Started:
    """A process that was forked; as much of `subprocess.Popen` as it takes to kill one."""

    def __init__(self, connection: socket.socket) -> None:
        self._answers = connection.makefile("r")
        connection.close()
        self.pid = int(self._answers.readline())
        self.returncode: int | None = None

    def wait(self) -> int:
        """Its exit status; minus the number of the signal that ended it."""
        if self.returncode is None:
            self.returncode = int(self._answers.readline())
            self._answers.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it is known to have ended."""
        if self.returncode is None:
            os.kill(self.pid, number)


def start(place: str, module: str, arguments: "Sequence[str]", streams: "Sequence[int]") -> Started:
    """Run a module in a fork, with file descriptors for its standard input, output and error."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(place)
    asked = {"module": module, "arguments": arguments, "environment": dict(os.environ), "folder": os.getcwd()}
    sent = json.dumps(asked).encode() + b"\n"
    connection.sendmsg([sent[:1]], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", streams))])
    connection.sendall(sent[1:])
    return Started(connection)


class Prepared:
    """The process that waits, as tests use it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="prepared-")  # addresses of sockets are short
        self._place = f"{self._folder.name}/socket"
        command = [sys.executable, "-m", "tests.prepared", self._place]
        # Its standard input ends with the tests, however those end, and so does it.
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=60)
        self._folder.cleanup()

    def command(self, module: str = "pipelines.cli") -> list[str]:
        """What to start instead of `python -m MODULE`; if it is killed, its fork is killed soon after."""
        return [sys.executable, "-S", __file__, self._place, module]

    def script(self, code: str) -> list[str]:
        """What to start instead of `python -c CODE`."""
        return [*self.command("-c"), code]

    def recsys(self, *arguments: str) -> Started:
        """The command line, by its own number and not that of `command`; nobody reads what it prints."""
        with open(os.devnull, "r+b") as nothing:
            return start(self._place, "pipelines.cli", arguments, [nothing.fileno()] * 3)


@cache
def waiting() -> Prepared:
    """That of this process, begun when it is first asked for."""
    return Prepared()


def _wait(place: str) -> None:
    import gc
    import select
    import threading
    from importlib import import_module

    for name in IMPORTED:
        import_module(name)
    assert threading.active_count() == 1, "a fork has one thread, and locks that others hold are never freed"
    assert "prometheus_client" not in sys.modules, "it looks at the environment when it is imported"
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(place)
        listener.listen(64)
        print("ready", flush=True)
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _serve(connection)
            connection.close()


def _serve(connection: socket.socket) -> "NoReturn":
    """Fork once more, for the module; tell its number, and at its end its status. Kill it where nobody waits for it."""
    import select

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    sent, streams, *_ = socket.recv_fds(connection, LONGEST_REQUEST, 3)
    with connection.makefile("r") as rest:
        asked = json.loads(sent.decode() + ("" if sent.endswith(b"\n") else rest.readline()))
    ended, held = os.pipe()  # the module's process holds it, and none that it starts
    pid = os.fork()
    if pid == 0:
        connection.close()
        os.close(ended)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        _run(asked)
    for number, stream in enumerate(streams):  # whoever reads them sees their end when the module's process ends
        os.close(stream)
        os.close(number)
    os.close(held)
    connection.sendall(f"{pid}\n".encode())
    if ended not in select.select([ended, connection], [], [])[0]:
        os.kill(pid, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        connection.sendall(f"{status}\n".encode())
    finally:
        os._exit(0)


def _run(asked: "Mapping[str, Any]") -> "NoReturn":
    """Be `python -m MODULE ARGUMENTS`, or `python -c ARGUMENTS`."""
    import runpy

    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = [asked["module"], *asked["arguments"]]
    status = 0
    try:
        if asked["module"] == "-c":
            code = sys.argv.pop(1)
            exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
        else:
            runpy.run_module(asked["module"], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    _leave(status)


def _leave(status: int) -> "NoReturn":
    """End as an interpreter does that had begun here: its threads, then what was to be done at exit, are waited for."""
    import atexit
    import threading

    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _hand_on(place: str, module: str, arguments: "Sequence[str]") -> "NoReturn":
    """Run a module in a fork, and end as it ends."""
    started = start(place, module, arguments, (0, 1, 2))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: started.send_signal(received))
    status = started.wait()
    if status < 0:
        if -status != signal.SIGKILL:  # which cannot be handled, and is as it was
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


if __name__ == "__main__":
    if sys.argv[2:]:
        _hand_on(sys.argv[1], sys.argv[2], sys.argv[3:])
    _wait(sys.argv[1])
