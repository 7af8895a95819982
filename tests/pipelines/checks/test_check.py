"""What is checked, on datasets of which each differs in one thing."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipelines.checks import Profile, Verdict, accept, accepted, check
from pipelines.checks.limits import CHECKS, Limit, Limits
from pipelines.checks.profile import accepted_path
from pipelines.dataset.directory import DatasetDir
from pipelines.ingest.ingest import ingest
from pipelines.ingest.log_sources import Source
from recsys_vae.errors import DataError

FIRST = datetime(2024, 1, 1, 12, tzinfo=UTC)
NOW = datetime(2024, 3, 1, tzinfo=UTC)


def rows(users=range(20), items=range(10), days=range(14), prefix=""):
    """Each user takes one item a day."""
    return [
        (f"u{user}", f"{prefix}i{items[(user + day) % len(items)]}", "view", (FIRST + timedelta(days=day)).isoformat())
        for day in days
        for user in users
    ]


def dataset(folder: Path, name: str, log, columns="user_id,item_id,event_type,timestamp", **source) -> DatasetDir:
    path = folder / f"{name}.csv"
    path.write_text("\n".join([columns, *(",".join(row) for row in log)]) + "\n")
    target = DatasetDir(folder / name)
    ingest(Source((path,), **source), target)
    return target


@pytest.fixture
def usual(tmp_path):
    return Profile.of(dataset(tmp_path, "usual", rows()), NOW)


def found(tmp_path, usual, log, *, now=NOW, **options):
    report = check(Profile.of(dataset(tmp_path, "later", log, **options), now), usual)
    return report, {one.check: one for one in report.findings}


def troubles(findings):
    return {name for name, one in findings.items() if one.verdict is not Verdict.OK}


def test_more_of_the_same_is_well(tmp_path, usual):
    report, findings = found(tmp_path, usual, rows(days=range(15)))
    assert troubles(findings) == set()
    assert (report.verdict, report.may_go_on, set(findings)) == (Verdict.OK, True, set(CHECKS))


def test_a_profile_names_no_user_and_comes_back_as_it_was(tmp_path, usual):
    target = DatasetDir(tmp_path / "usual")
    assert accepted(target) is None
    accept(usual, target)
    assert accepted(target) == usual
    text = accepted_path(target).read_text()
    assert "u1" not in text
    assert "i1" in text
    assert (usual.users, usual.items, usual.recent, usual.lengths[3:5]) == (20, 10, 140, (0, 20))
    accepted_path(target).write_text("{}")
    with pytest.raises(DataError, match="accept a dataset again"):
        accepted(target)


def test_without_anything_accepted_what_needs_no_comparison_is_checked(tmp_path, usual):
    target = DatasetDir(tmp_path / "usual")
    report = check(target)
    assert report.against is None
    measured = {one.check for one in report.findings if one.value is not None}
    assert measured == {"quarantined", "gaps", "future", "age"}
    accept(usual, target)
    assert check(target).against == "usual up to 2024-01-14"


def test_another_form_of_ids_stops(tmp_path, usual):
    report, findings = found(tmp_path, usual, rows(prefix="sku-"))
    assert troubles(findings) == {"new_items", "new_item_events", "lost_items", "popularity_drift"}
    assert findings["new_items"].value == findings["popularity_drift"].value == 1.0
    assert not report.may_go_on
    assert report.sentence() == "later: stop (new_items 1, new_item_events 1, lost_items 1, popularity_drift 1)"


def test_a_week_of_another_form_of_ids_stops(tmp_path):
    log = rows(items=range(200), days=range(13)) + rows(items=range(90), days=range(21, 28), prefix="sku-")
    before = Profile.of(dataset(tmp_path, "before", rows(items=range(200), days=range(14))), NOW)
    _, findings = found(tmp_path, before, log)
    assert findings["new_item_events"].value == 1
    assert findings["new_item_events"].verdict is Verdict.STOP


def test_a_week_that_is_mostly_missing_stops(tmp_path, usual):
    log = rows(days=range(10)) + [row for row in rows(days=range(17, 18)) if row[0] == "u1"]
    _, findings = found(tmp_path, usual, log)
    assert findings["volume_fall"].verdict is Verdict.STOP
    assert findings["volume_fall"].value == pytest.approx(1 - 1 / 140)
    assert findings["gaps"].value == 7
    assert findings["gaps"].detail.startswith("2024-01-11, 2024-01-12")


def test_columns_and_event_types_that_come_or_go(tmp_path, usual):
    log = [(user, item, "", time) for user, item, _, time in rows()]
    _, findings = found(tmp_path, usual, log)
    assert findings["columns_lost"].verdict is Verdict.STOP
    assert findings["columns_lost"].detail == "event_type (String)"
    assert findings["schema_changes"].detail == "column event_type gone, event type 'view' gone"


def test_metadata_belong_to_the_schema(tmp_path, usual):
    titles = tmp_path / "items.csv"
    titles.write_text("item_id,title\ni1,One\ni2,Two\ni3,Three\ni4,4\ni5,5\n")
    _, findings = found(tmp_path, usual, rows(), items=titles)
    assert findings["schema_changes"].detail == "new column items.item_id, new column items.title"


def test_rows_that_break_the_contract_and_duplicates(tmp_path, usual):
    broken = [("", "i1", "view", FIRST.isoformat())] * 20
    _, findings = found(tmp_path, usual, rows() + broken + rows())
    assert findings["quarantined"].value == pytest.approx(20 / 580)
    assert findings["quarantined_rise"].verdict is Verdict.WARN
    assert findings["duplicates_rise"].verdict is Verdict.STOP
    assert findings["duplicates_rise"].value == pytest.approx(360 / 560 - 80 / 280)


def test_times_that_lie_in_the_future_or_before_those_of_before(tmp_path, usual):
    _, findings = found(tmp_path, usual, rows(days=range(10)), now=FIRST + timedelta(days=5))
    assert findings["days_back"].value == 4
    assert findings["future"].value == pytest.approx(80 / 200)
    assert troubles(findings) >= {"days_back", "future"}


def test_histories_that_grow_long_drift(tmp_path, usual):
    _, findings = found(tmp_path, usual, rows(users=range(2), items=range(200), days=range(100)))
    assert findings["history_drift"].verdict is Verdict.WARN


def test_limits_rule(tmp_path, usual):
    profile = Profile.of(dataset(tmp_path, "later", rows(prefix="sku-")), NOW)
    silent = Limits({name: Limit() for name in CHECKS})
    assert check(profile, usual, silent).verdict is Verdict.OK
    strict = Limits({**silent.by_check, "age": Limit(warn=1)})
    assert check(profile, usual, strict).sentence().startswith("later: warn (age ")


def test_a_report_is_json(tmp_path, usual):
    empty = Profile("empty", 1, 0, 0, 0, 0, 0)
    text = json.dumps(check(usual, empty).as_json(), allow_nan=False)
    assert json.loads(text)["verdict"] == "stop"
