"""Reports, which share components with the pages: axe finds nothing in them, and nothing is wider than the window."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipelines.dataset.split_recipes import recipe
from pipelines.dataset.splits import load_split, make_split
from pipelines.evaluation.evaluate import evaluate_bundle
from pipelines.evaluation.report import write_report
from pipelines.promotion.gate import gate
from pipelines.promotion.limits import Limits
from pipelines.promotion.records import write_pages
from pipelines.retraining import job
from pipelines.retraining.page import PAGE
from pipelines.retraining.run import Result
from tests.browser.conftest import SHOTS
from tests.browser.service import Served
from tests.browser.test_pages import faults, opened
from tests.pipelines.evaluation.test_evaluate import ease_bundle
from tests.pipelines.logs_of_tastes import dataset, frame
from tests.pipelines.promotion import shop
from tests.pipelines.retraining.test_job import CONFIG, Noted, Recsys

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
REPORTS = ("evaluation", "gate-refused", "gate-promoted", "run")


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a page of each kind."""
    folder = tmp_path_factory.mktemp("reports")
    tastes = dataset(folder / "tastes", frame(100))
    make_split(tastes, recipe("strong", min_items=2, heldout=20))
    split = load_split(tastes, "strong")
    measured = ease_bundle(folder / "ease", split.train, "split:strong/train")
    run = evaluate_bundle(measured, tastes, "strong", baselines=["popularity", "ease:l2=3", "edlae"])
    write_report(run, folder / "evaluation.html")
    sold, limits = shop.shop(folder / "shop"), Limits(metrics=("ndcg@5",), resamples=1_000)
    champion = shop.bundle(folder / "champion", sold)
    for name, fit in (("gate-refused", shop.shuffled), ("gate-promoted", shop.nearly_as_good)):
        decision = gate(champion, shop.bundle(folder / name, sold, fit=fit), sold, limits)
        write_pages(decision, folder / f"{name}.html", name="shop", version="2", champion="1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECSYS_HOME", str(folder / "home"))
        figures = {"rows read in all": 4102, "page": str(folder / "gate-refused.html")}
        steps = [Noted("ingest"), Noted("erase", skip="nobody was erased"), Noted("gate", Result(figures=figures))]
        job.retrain(CONFIG, Recsys(), lambda _: None, steps=steps)
        (folder / "run.html").write_bytes((job.runs(job.job_folder("shop"))[0] / PAGE).read_bytes())
    return folder


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", REPORTS)
def test_every_report_is_good_in_both_themes_and_at_both_widths(
    browser: "Browser", reports: Path, name: str, theme: str, width: int
) -> None:
    page, complaints = opened(browser, Served(reports.as_uri()), f"{reports.as_uri()}/{name}.html", theme, width)
    SHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SHOTS / f"report-{name}-{theme}-{width}.png", full_page=True)
    assert faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert complaints == []
    page.context.close()
