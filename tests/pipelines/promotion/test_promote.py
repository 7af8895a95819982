"""Promotions at the registry: who becomes champion, what is kept of it, and the way back."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.artifacts.mlflow_registry import BUNDLE_PATH
from pipelines.cli import build
from pipelines.dataset.directory import DatasetDir
from pipelines.promotion.champions import champions, crown, deciding, roll_back
from pipelines.promotion.limits import Limits
from pipelines.promotion.promote import promote
from recsys_vae.bundles.manifest import read_manifest
from recsys_vae.errors import BusyError, ConfigError, UnknownNameError
from recsys_vae.training.tracking import connect, tracked_run
from tests.pipelines.promotion import shop
from tests.pipelines.promotion.shop import bundle, day

LIMITS = Limits(metrics=("ndcg@5",), resamples=1_000)


@pytest.fixture
def dataset(mlflow_home: Path) -> DatasetDir:
    return shop.shop(mlflow_home / "datasets" / "shop")


def register(path: Path, dataset: DatasetDir, end: float = 100, fit: shop.Fit | None = None) -> str:
    """A version with its bundle, without MLflow's wrapping of it, which takes seconds to make."""
    manifest = read_manifest(bundle(path / BUNDLE_PATH, dataset, day(end), fit))
    client = connect()
    if not client.search_registered_models():
        client.create_registered_model("shop")
    with tracked_run("shop", "ease") as tracker:
        tags = {"bundle": manifest.version, "trained_on": manifest.provenance.trained_on}
        made = client.create_model_version("shop", path.as_uri(), tracker.run_id, tags=tags)
    client.set_registered_model_alias("shop", "challenger", made.version)
    return manifest.version


def champion() -> str | None:
    found = connect().get_registered_model("shop").aliases.get("champion")
    return None if found is None else str(found)


def test_a_promotion_is_kept_on_the_version_on_its_run_and_on_this_machine(dataset: DatasetDir, tmp_path: Path) -> None:
    register(tmp_path / "a", dataset)
    done = promote("shop", limits=LIMITS)
    assert (done.version, done.champion, champion()) == ("1", None, "1")
    found = connect().get_model_version("shop", "1")
    assert (found.tags["gate"], found.tags["gate_against"]) == ("promoted", "popularity")
    assert found.tags["gate_on"].startswith("shop: events after 2025-04-10")
    assert "against" in found.tags["gate_ndcg_at_5"]
    assert done.page is not None
    kept = {artifact.path for artifact in connect().list_artifacts(found.run_id, "gate")}
    assert kept == {f"gate/{done.page.name}", f"gate/{done.page.stem}.json"}
    told = json.loads(done.page.with_suffix(".json").read_text())
    assert (told["model"], told["version"], told["decision"]) == ("shop", "1", "promoted")
    page = done.page.read_text()
    assert "<script" not in page
    assert "http" not in page
    for text in ("new users", "country = NZ", "share of the top item", "max_days_behind"):
        assert text in page


def test_what_is_refused_leaves_the_champion_and_is_kept_too(dataset: DatasetDir, tmp_path: Path) -> None:
    register(tmp_path / "a", dataset)
    promote("shop", limits=LIMITS)
    register(tmp_path / "b", dataset, fit=shop.shuffled)
    tried = promote("shop", limits=LIMITS, dry_run=True)
    assert (tried.is_champion, tried.page) == (False, None)
    assert "gate" not in connect().get_model_version("shop", "2").tags
    done = promote("shop", limits=LIMITS)
    assert (done.is_champion, champion()) == (False, "1")
    tags = connect().get_model_version("shop", "2").tags
    assert (tags["gate"], tags["gate_against"]) == ("refused", "version 1")
    assert tags["gate_reason"].startswith("Guard rail: ") or tags["gate_reason"].startswith("It is worse on")
    assert "gate_forced" not in tags


def test_force_says_who_and_why(dataset: DatasetDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "jo")
    register(tmp_path / "a", dataset)
    promote("shop", limits=LIMITS)
    register(tmp_path / "b", dataset, fit=shop.shuffled)
    with pytest.raises(ConfigError, match="--force takes a reason"):
        promote("shop", limits=LIMITS, force=" ")
    done = promote("shop", limits=LIMITS, force="an experiment")
    assert (done.is_champion, champion()) == (True, "2")
    tags = connect().get_model_version("shop", "2").tags
    assert tags["gate"] == "forced"
    assert tags["gate_forced"].startswith("jo@")
    assert tags["gate_forced"].endswith(": an experiment")
    assert done.page is not None
    assert "Promoted against the gate by jo@" in done.page.read_text()


def test_force_needs_nothing_to_measure_on(dataset: DatasetDir, tmp_path: Path) -> None:
    register(tmp_path / "a", dataset, end=120)
    with pytest.raises(Exception, match="is new to the model"):
        promote("shop", limits=LIMITS)
    assert champion() is None
    done = promote("shop", limits=LIMITS, force="the first one")
    assert done.decision is not None
    assert done.decision.why.startswith("Nothing was measured: Nothing in dataset 'shop' is new to the model")
    assert champion() == "1"


def test_the_way_back_is_one_call_and_what_was_left_does_not_return_by_itself(
    dataset: DatasetDir, tmp_path: Path
) -> None:
    register(tmp_path / "a", dataset, end=80)
    promote("shop", limits=LIMITS)
    register(tmp_path / "b", dataset, end=90)
    promote("shop", limits=LIMITS)
    register(tmp_path / "c", dataset, end=100)
    promote("shop", limits=LIMITS)
    client = connect()
    assert champions(client, "shop") == ["1", "2", "3"]
    assert roll_back("shop", dry_run=True).version == "2"
    assert champion() == "3"
    assert (roll_back("shop", reason="clicks fell").version, champion()) == ("2", "2")
    assert client.get_model_version("shop", "3").tags["rolled_back"].endswith(": clicks fell")
    again = promote("shop", limits=LIMITS)  # the challenger is version 3 still
    assert (again.is_champion, champion()) == (False, "2")
    assert again.decision is not None
    assert "was rolled back" in again.decision.why
    back = promote("shop", "1", limits=LIMITS)
    assert (back.went_back, back.decision, champion()) == (True, None, "1")
    with pytest.raises(ConfigError, match="shop has no former champion"):
        roll_back("shop")
    assert promote("shop", "3", limits=LIMITS, force="it was the season").is_champion
    assert champions(client, "shop") == ["1", "3"]
    assert "rolled_back" not in client.get_model_version("shop", "3").tags


def test_champions_follow_the_alias_and_forget_what_was_deleted(dataset: DatasetDir, tmp_path: Path) -> None:
    for place in "abc":
        register(tmp_path / place, dataset, end=80 + 5 * ord(place) % 20)
    client = connect()
    assert champions(client, "shop") == []
    client.set_registered_model_alias("shop", "champion", "1")  # as before champions were kept
    assert crown(client, "shop", "2", instead_of="1").previous == "1"
    client.set_registered_model_alias("shop", "champion", "3")  # moved by hand
    assert champions(client, "shop") == ["1", "2", "3"]
    with pytest.raises(ConfigError, match=r"Version 7 of shop is no former champion; those are 1, 2\."):
        roll_back("shop", "7")
    client.delete_model_version("shop", "2")
    assert champions(client, "shop") == ["1", "3"]
    assert roll_back("shop").version == "1"


def test_two_promotions_do_not_meet(dataset: DatasetDir, tmp_path: Path) -> None:
    register(tmp_path / "a", dataset)
    register(tmp_path / "b", dataset, end=90)
    client = connect()
    crown(client, "shop", "1", instead_of=None)
    with pytest.raises(BusyError, match="Nothing was changed; promote again"):
        crown(client, "shop", "2", instead_of=None)
    assert champion() == "1"
    with deciding("shop"):
        assert promote("shop", "1").version == "1"  # the same process may enter again


def test_the_twin_is_found_in_the_registry(dataset: DatasetDir, tmp_path: Path) -> None:
    twin = register(tmp_path / "twin", dataset)
    by = f"split:temporal/test, by {twin}"
    whole = register(
        tmp_path / "all", dataset, 120, lambda known, path, told: shop.good(known, path, replace(told, metrics_on=by))
    )
    done = promote("shop", limits=LIMITS)
    assert (done.version, champion()) == ("2", "2")
    assert done.decision is not None
    assert (done.decision.challenger.bundle, done.decision.challenger.asked) == (whole, twin)


def test_the_command_line_tells_the_slices_and_exits_with_three_where_it_refuses(
    dataset: DatasetDir, tmp_path: Path
) -> None:
    def recsys(*arguments: str) -> "tuple[int, str, str]":
        answer = runner.invoke(app, [*arguments])
        return answer.exit_code, answer.stdout, answer.stderr

    runner, app = CliRunner(), build()
    (tmp_path / "gate.toml").write_text('metrics = ["ndcg@5"]\nresamples = 1000\n')
    limits = ("--limits", str(tmp_path / "gate.toml"))
    register(tmp_path / "a", dataset)
    code, told, _ = recsys("promote", "shop", *limits)
    assert code == 0
    assert "models:/shop@champion is now version 1" in told
    code, told, _ = recsys("promote", "shop", *limits)
    assert (code, "is version 1" in told, "already" in told) == (0, True, True)
    register(tmp_path / "b", dataset, fit=shop.bad_for_new_users)
    code, told, _ = recsys("promote", "shop", *limits)
    assert code == 3
    assert "new users" in told
    assert "Refused: " in told
    assert "models:/shop@champion stays version 1. To promote it all the same: --force REASON." in told
    code, told, _ = recsys("promote", "shop", *limits, "--json", "--dry-run", "--on", "shop")
    assert code == 3
    assert json.loads(told)["decision"] == "refused"
    code, told, _ = recsys("promote", "shop", *limits, "--force", "I know")
    assert code == 0
    assert "Back: recsys rollback shop" in told
    code, told, _ = recsys("rollback", "shop", "--reason", "I did not")
    assert code == 0
    assert "models:/shop@champion is version 1" in told


def test_where_there_is_nothing_to_measure_on_it_says_what_to_give(dataset: DatasetDir, tmp_path: Path) -> None:
    register(tmp_path / "a", dataset)
    dataset.path.rename(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match=r"learned from dataset 'shop', which is not here. Name one .*--on DATASET"):
        promote("shop", limits=LIMITS)
    with pytest.raises(UnknownNameError, match="no dataset named 'shop'"):
        promote("shop", on="shop", limits=LIMITS)
    assert promote("shop", on=str(tmp_path / "elsewhere"), limits=LIMITS).is_champion
