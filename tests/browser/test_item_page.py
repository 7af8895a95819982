"""An item is found, edited and hidden by keyboard alone; the catalogue is gone through without a reload."""

from typing import TYPE_CHECKING

import pytest

from tests.browser.service import Served
from tests.browser.test_pages import faults, opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


def test_an_item_is_found_edited_and_hidden_by_keyboard(browser: "Browser", served: Served) -> None:
    page, complaints = opened(browser, served, "/ui/items", "light", 400)
    page.get_by_label("Item id, or words").fill("90")
    page.keyboard.press("Enter")
    page.locator("#found-title + .items a").focus()
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Edit fields").focus()
    page.keyboard.press("Enter")
    page.get_by_label("title").fill("A title </textarea><b> of its own")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Change it").focus()
    assert faults(page) == []
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="A title </textarea><b> of its own").wait_for()
    assert page.get_by_text("the bundle says").count() == 1
    for word, question, after in (("Hide", "Hide it", "Show again"), ("Show again", "Show it again", "Hide")):
        page.get_by_role("button", name=word, exact=True).focus()
        page.keyboard.press("Enter")
        page.get_by_role("button", name=question).focus()
        page.keyboard.press("Enter")
        page.get_by_role("button", name=after, exact=True).wait_for()
    assert complaints == []
    page.context.close()


def test_the_catalogue_is_gone_through_without_a_reload(browser: "Browser", served: Served) -> None:
    page, complaints = opened(browser, served, "/ui/catalogue", "dark", 1400)
    page.evaluate("window.isSame = true")
    page.get_by_role("link", name="Next").focus()
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Previous").wait_for()
    page.locator("#show").select_option("cold")
    page.get_by_role("button", name="Apply").click()
    page.get_by_text("No item is so.").wait_for()
    assert page.evaluate("window.isSame")
    assert page.locator("#told").text_content() == "0 items."
    assert complaints == []
    page.context.close()
