"""Real processes on one machine that train together, connected by gloo."""

import os
import socket
import subprocess
from pathlib import Path

from tests.prepared import Prepared

ROOT = Path(__file__).parents[3]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run_together(prepared: Prepared, count: int, module: str, *arguments: str | Path) -> list[tuple[int, str]]:
    """Exit status and messages of each process; one that waits for the others for ever ends the test."""
    places = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    processes = [
        subprocess.Popen(
            [*prepared.command(module), *map(str, arguments)],
            cwd=ROOT,
            env=os.environ | places | {"OMP_NUM_THREADS": "1", "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    try:
        messages = [process.communicate(timeout=300)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return [(process.returncode, message) for process, message in zip(processes, messages, strict=True)]
