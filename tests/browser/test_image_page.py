"""An image model's page: good in both themes and widths, and its map is wandered by clicks and by keyboard."""

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.browser.conftest import SHOTS
from tests.browser.service import Served
from tests.browser.test_pages import faults, opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["vae", "vq-vae"])
def test_a_model_is_good_to_look_at(browser: "Browser", served: Served, name: str, theme: str, width: int) -> None:
    page, complaints = opened(browser, served, "/ui/images", theme, width)
    page.get_by_role("row").filter(has=page.get_by_role("cell", name=name, exact=True)).get_by_role("link").click()
    page.get_by_role("heading", name="Reconstructions").wait_for()
    SHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SHOTS / f"image-{name}-{theme}-{width}.png", full_page=True)
    assert faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert complaints == []
    page.context.close()


def test_the_map_is_wandered_by_clicks_and_by_keyboard(browser: "Browser", served: Served) -> None:
    page, complaints = opened(browser, served, "/ui/images", "light", 400)
    page.get_by_role("row").filter(has=page.get_by_role("cell", name="vae", exact=True)).get_by_role("link").click()
    decoded = page.get_by_alt_text("What the place decodes to")
    before = decoded.get_attribute("src")
    page.locator("input.map").click(position={"x": 240, "y": 80})
    page.wait_for_url("**x=5*")
    place = parse_qs(urlsplit(page.url).query)
    assert (abs(int(place["x"][0]) - 50), abs(int(place["y"][0]) - 50)) <= (2, 2)
    assert decoded.get_attribute("src") != before
    page.locator("#x").focus()
    with page.expect_navigation():
        page.keyboard.press("End")
    assert parse_qs(urlsplit(page.url).query)["x"] == ["100"]
    page.locator(".traversals input").first.focus()
    page.keyboard.press("Home")
    page.wait_for_url("**of=0*")
    assert complaints == []
    page.context.close()
