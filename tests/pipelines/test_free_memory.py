import pytest

from pipelines import free_memory
from pipelines.free_memory import free_memory as free


@pytest.fixture
def groups(tmp_path, monkeypatch):
    root = tmp_path / "cgroup"
    (root / "work.slice" / "job").mkdir(parents=True)
    monkeypatch.setattr(free_memory, "ROOT", root)
    monkeypatch.setattr(free_memory, "OWN", tmp_path / "own")
    monkeypatch.setattr(free_memory, "_of_system", lambda: 8e9)
    (tmp_path / "own").write_text("0::/work.slice/job\n")
    return root


def limited(folder, limit, used, **stat):
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text("".join(f"{name} {value}\n" for name, value in stat.items()))


def test_without_limits_the_machine_decides(groups):
    limited(groups, "max", 5)
    assert free() == 8e9


def test_the_tightest_group_decides(groups):
    limited(groups, 7_000_000_000, 1_000_000_000)
    limited(groups / "work.slice", 3_000_000_000, 1_000_000_000)
    limited(groups / "work.slice/job", "max", 0)
    assert free() == 2e9
    limited(groups / "work.slice/job", 1_500_000_000, 1_000_000_000)
    assert free() == 0.5e9


def test_files_that_were_read_are_no_memory_taken(groups):
    limited(groups, 3_000_000_000, 2_900_000_000, anon=5, inactive_file=1_900_000_000)
    assert free() == 2e9


def test_version_1_of_cgroups(groups, tmp_path):
    (tmp_path / "own").write_text("5:cpu,cpuacct:/job\n4:memory:/job\n")
    job = groups / "memory" / "job"
    job.mkdir(parents=True)
    (job / "memory.limit_in_bytes").write_text("3000")
    (job / "memory.usage_in_bytes").write_text("2900")
    (job / "memory.stat").write_text("total_inactive_file 400\n")
    assert free() == 500
