"""Every page in a browser: axe finds nothing, nothing is refused by the policy, nothing is wider than the window."""

from importlib import resources
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import SHOTS
from tests.browser.pages import PAGES
from tests.browser.service import Served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def opened(browser: "Browser", served: Served, address: str, theme: str, width: int) -> tuple["Page", list[str]]:
    """A page, and what the browser complained of."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme, base_url=served.url)
    page, complaints = context.new_page(), []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address)
    return page, complaints


def faults(page: "Page") -> list[dict[str, Any]]:
    """What axe finds."""
    axe = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text()
    page.evaluate(axe)
    found = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)["violations"]
    return [{"rule": one["id"], "at": [node["html"][:200] for node in one["nodes"][:3]]} for one in found]


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_good_in_both_themes_and_at_both_widths(
    browser: "Browser", served: Served, name: str, theme: str, width: int
) -> None:
    page, complaints = opened(browser, served, PAGES[name], theme, width)
    SHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}-{theme}-{width}.png", full_page=True)
    assert faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert [one for one in complaints if "status of 4" not in one] == []  # of the page itself
    page.context.close()


def test_the_docs_need_no_internet_and_the_policy_refuses_nothing(browser: "Browser", served: Served) -> None:
    page, complaints = opened(browser, served, "/docs", "light", 1400)
    page.wait_for_selector(".opblock-tag")
    asked = page.evaluate("performance.getEntriesByType('resource').map(one => one.name)")
    assert {one.startswith((served.url, "data:")) for one in asked} == {True}
    page.locator(".opblock-summary-control").first.click()
    page.wait_for_selector(".opblock-body")
    SHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SHOTS / "docs.png")
    assert complaints == []
    page.context.close()
