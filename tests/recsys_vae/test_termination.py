import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from recsys_vae.termination import TERMINATED

WRITER = textwrap.dedent("""
    import hashlib, sys, time
    from pathlib import Path
    from recsys_vae import termination
    from recsys_vae.atomic import atomic_directory
    from recsys_vae.outputs import new_directory

    termination.GRACE = 0.2
    termination.end_on_sigterm()
    with atomic_directory(Path(sys.argv[1]), new_directory("a table")) as folder:
        (folder / "half").write_text("half")
        print("writing", flush=True)
        if sys.argv[2] == "python":
            time.sleep(60)
        hashlib.pbkdf2_hmac("sha256", b"a", b"b", 200_000_000)  # one call, for a minute
""")


@pytest.mark.parametrize("where", ["python", "a library"])
def test_sigterm_leaves_nothing_half_written_and_ends_in_time(tmp_path: Path, where: str) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path / "out"), where]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == TERMINATED == 143
    assert list(tmp_path.iterdir()) == []
