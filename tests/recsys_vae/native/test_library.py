import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from recsys_vae.errors import UnavailableError, UnknownNameError
from recsys_vae.native import library as native
from recsys_vae.native.build import COMPILED, V3, build, levels

ON_X86 = len(levels()) > 1


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is loaded yet, nothing is asked for."""
    monkeypatch.delenv("RECSYS_NATIVE", raising=False)
    native._chosen.cache_clear()
    yield
    native._chosen.cache_clear()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what was compiled, to take things away from."""
    if not list(COMPILED.glob("*.so")):
        pytest.skip("nothing is compiled here")
    folder = tmp_path / "compiled"
    shutil.copytree(COMPILED, folder)
    monkeypatch.setattr(native, "COMPILED", folder)
    return folder


def test_the_best_that_the_processor_has_is_taken(installed: Path) -> None:
    best = next(name for name, obstacle in native.obstacles().items() if obstacle is None)
    assert native.chosen().level.name == best
    assert native.description().startswith(f"in use: {best} (compiled: baseline")


@pytest.mark.skipif(not ON_X86, reason="one level")
def test_a_processor_that_lacks_something_gets_less_and_hears_why(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "_features", lambda: V3 | {"avx512f"})
    found = native.chosen()
    assert found.level.name == "avx2"
    assert list(found.passed_over) == ["amx", "avx512bf16", "avx512", "avxvnni"]
    assert found.passed_over["avxvnni"] == "the processor lacks avxvnni"
    assert "avx512vnni" in found.passed_over["avx512"]
    assert "avxvnni: the processor lacks avxvnni" in native.description()
    monkeypatch.setattr(native, "_features", frozenset)
    native._chosen.cache_clear()
    assert native.chosen().level.name == "baseline"


@pytest.mark.skipif(not ON_X86, reason="one level")
def test_a_lower_level_may_be_asked_for(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_NATIVE", "baseline")
    assert native.chosen().level.name == "baseline"
    assert native.description().endswith("; amx, avx512bf16, avx512, avxvnni, avx2: RECSYS_NATIVE=baseline)")
    monkeypatch.setattr(native, "_features", frozenset)
    monkeypatch.setenv("RECSYS_NATIVE", "avx2")
    assert native.library() is None
    assert "avx2: the processor lacks avx2, bmi" in native.description()


def test_it_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_NATIVE", "0")
    assert native.library() is None
    assert native.description() == "not used: RECSYS_NATIVE=0"


def test_a_level_that_does_not_exist_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_NATIVE", "avx3")
    with pytest.raises(UnknownNameError, match="named 'avx3'"):
        native.library()
    assert "named 'avx3'" in native.description()


def test_what_the_build_step_left_out_is_told_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "COMPILED", tmp_path / "compiled")
    assert "not compiled when this was installed" in native.description()
    monkeypatch.setenv("CXX", "no-such-compiler")
    build(tmp_path / "compiled", lambda _: None)
    native._chosen.cache_clear()
    assert native.library() is None
    with pytest.raises(UnavailableError, match=r"There is no C\+\+ compiler \(no-such-compiler\)"):
        native.loaded()


def test_what_is_no_library_is_not_used(installed: Path) -> None:
    for path in installed.glob("*.so"):
        path.write_text("nonsense")
    assert native.library() is None
    assert native.description().startswith("not used: ")


@pytest.mark.skipif(not (ON_X86 and Path("/proc/cpuinfo").exists()), reason="only Linux lists what a processor has")
def test_the_processor_has_what_the_system_says(installed: Path) -> None:
    flags = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags"))
    there = {flag.replace("_", "") for flag in flags.split()}
    there |= {ours for ours, theirs in (("bmi", "bmi1"), ("lzcnt", "abm")) if theirs in there}
    asked = frozenset().union(*(level.needs for level in levels()))
    assert native._features() == there & asked


def test_what_was_compiled_of_older_sources_is_passed_over(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "NEWEST", "recsys_of_next_year")
    with pytest.raises(UnavailableError, match="older sources"):
        native.chosen()
    assert native.library() is None
