"""A user's page by clicks and by keyboard: items are put in and taken out, and the list changes without a reload."""

from typing import TYPE_CHECKING

import pytest

from tests.browser.service import Served
from tests.browser.test_pages import opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


def test_taking_out_and_putting_back_by_keyboard_keeps_the_focus(browser: "Browser", served: Served) -> None:
    page, complaints = opened(browser, served, "/ui/users/1", "light", 1400)
    page.evaluate("window.isSame = true")
    page.get_by_role("link", name="Take out").first.focus()
    page.keyboard.press("Enter")
    back = page.get_by_role("link", name="Put back")
    back.wait_for()
    assert "drop=" in page.url
    assert page.evaluate("window.isSame && document.activeElement.textContent.startsWith('Put back')")
    assert "left the list" in page.locator("#told").text_content()
    page.keyboard.press("Enter")
    back.wait_for(state="detached")
    assert "drop=" not in page.url
    page.go_back()
    back.wait_for()
    assert complaints == []
    page.context.close()


def test_an_item_is_found_by_its_title_and_asked_about(browser: "Browser", served: Served) -> None:
    page, complaints = opened(browser, served, "/ui/users/1", "light", 1400)
    page.get_by_label("Add an item").fill("silence 9")
    page.keyboard.press("Enter")
    page.get_by_text("added here").wait_for()
    page.locator("#why-find").fill("harbour")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Which item?").wait_for()
    page.get_by_role("link", name="Ask").first.click()
    page.locator(".answer").wait_for()
    assert complaints == []
    page.context.close()


def test_a_filter_is_set_in_the_form(browser: "Browser", served: Served) -> None:
    page, complaints = opened(browser, served, "/ui/users/1", "light", 400)
    page.get_by_text("Play: change what is asked").click()
    page.locator("#f_column").select_option("year")
    page.locator("#f_op").select_option("least")
    page.locator("#f_value").fill("1990")
    page.get_by_role("button", name="Apply").click()
    page.get_by_role("link", name="Remove the filter year is at least 1990").wait_for()
    assert complaints == []
    page.context.close()
