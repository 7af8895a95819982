"""The tutorial is a script: it runs here, and the page shows no command that the script does not have."""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from tests.prepared import Prepared

DOCS = Path(__file__).parents[2] / "docs"
SCRIPT, PAGE = DOCS / "bring_your_own_log.sh", DOCS / "bring-your-own-log.md"


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


@pytest.mark.skipif(not shutil.which("curl"), reason="the tutorial asks the service with curl")
def test_the_tutorial_runs_from_log_to_answer(mlflow_home: Path, tmp_path: Path, prepared: Prepared) -> None:
    folder = mlflow_home.parent
    recsys = tmp_path / "bin" / "recsys"
    recsys.parent.mkdir()
    recsys.write_text(f'#!/bin/sh\nexec {shlex.join(prepared.command())} "$@"\n')
    recsys.chmod(0o755)
    # One thread: the model is so small that several wait for each other longer than they compute.
    environment = os.environ | {
        "PATH": os.pathsep.join([str(recsys.parent), str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PORT": free_port(),
        "COLUMNS": "160",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        ["bash", SCRIPT, folder], capture_output=True, text=True, env=environment, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for words in ("user_id is missing", "event_type has no weight", "1 lost: a user with fewer than 5 items left"):
        assert words in done.stdout
    answer = json.loads(re.search(r'^\{"request_id".*$', done.stdout, re.MULTILINE)[0])
    assert answer["tier"] == "history"
    assert len(answer["items"]) == 5
    assert answer["items"][0]["item_id"].startswith(("tea", "mugs"))
    lists = pl.read_parquet(folder / "recommendations.parquet")
    assert lists.height == 500 * 10
    assert "<html" in (folder / "report.html").read_text()


def test_the_page_shows_the_commands_of_the_script() -> None:
    script, page = SCRIPT.read_text(), PAGE.read_text()
    shown = re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert shown
    assert [block for block in shown if block not in script] == []
    assert [line for line in script.splitlines() if line.startswith("recsys ") and line not in page] == []
