"""Deployments, operations, jobs and data by keyboard and by clicks."""

from typing import TYPE_CHECKING

import pytest

from tests.browser.service import Served
from tests.browser.test_pages import opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


def test_a_bundle_is_loaded_and_rolled_back_by_keyboard(browser: "Browser", served: Served) -> None:
    page, complaints = opened(browser, served, "/ui/deployments", "light", 1400)
    page.get_by_label("Variant that it becomes").select_option("main")
    page.get_by_label("Source").fill("films-before")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="What differs").wait_for()
    page.get_by_role("button", name="Load it and put it in service").focus()
    page.keyboard.press("Enter")
    page.get_by_text("It is in service here").wait_for()
    assert page.get_by_role("region", name="Who did what").get_by_text("reload").count() == 1
    page.get_by_role("button", name="Roll back…").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Roll back", exact=True).focus()
    page.keyboard.press("Enter")
    page.get_by_text("What was before is in service again").wait_for()
    assert complaints == []
    page.context.close()


def test_two_versions_are_compared(browser: "Browser", served: Served) -> None:
    page, complaints = opened(browser, served, "/ui/deployments", "dark", 400)
    page.get_by_role("heading", name="Versions").scroll_into_view_if_needed()
    page.get_by_role("button", name="Show").click()
    page.get_by_role("heading", name="Two versions side by side").wait_for()
    assert page.locator("tr.differs", has_text="l2").count() == 1
    assert complaints == []
    page.context.close()


def test_operations_refresh_themselves_and_wait_while_a_table_is_read(browser: "Browser", served: Served) -> None:
    page, complaints = opened(browser, served, "/ui/operations?span=6h", "light", 1400)
    page.evaluate("document.querySelector('#operations').isOld = true")
    page.get_by_text("As a table").first.click()
    page.evaluate("htmx.trigger('#operations', 'every 15s')")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate("htmx.ajax('GET', '/ui/operations?span=6h', {source: '#operations', target: '#operations'})")
    assert asked == []
    page.get_by_text("As a table").first.click()
    page.evaluate("document.activeElement.blur()")
    page.evaluate(
        "htmx.ajax('GET', '/ui/operations?span=6h',"
        " {source: '#operations', target: '#operations', select: '#operations', swap: 'outerHTML'})"
    )
    page.wait_for_function("!document.querySelector('#operations').isOld")
    assert page.locator("#operations figure").count() == 8
    page.get_by_role("link", name="Stop refreshing").click()
    page.get_by_role("link", name="Refresh by itself").wait_for()
    assert complaints == []
    page.context.close()


def test_a_log_is_chosen_and_a_reason_of_the_quarantine(browser: "Browser", served: Served) -> None:
    page, complaints = opened(browser, served, "/ui/jobs", "light", 400)
    page.get_by_role("link", name="20261123T040000Z").click()
    page.get_by_role("link", name="02-ingest.log").click()
    page.get_by_text("rows in 4,102").wait_for()
    page.goto("/ui/data/films")
    page.get_by_label("Reason").select_option("weight is not a number")
    page.get_by_role("button", name="Show").click()
    page.get_by_text("<script>alert(1)</script>").wait_for()
    assert complaints == []
    page.context.close()
