"""Reports and the pages under /ui have one style sheet, which alone names colours."""

import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from pipelines.pages import TEMPLATES, render_page
from recsys_vae.pages.environment import STYLES
from service.ui.rendering import ASSETS, ENVIRONMENT, FOLDER

SHEET = STYLES / "base.css"
REPORTS = sorted(path for path in TEMPLATES.glob("*.html") if path.name != "page.html")
PAGES = sorted((FOLDER / "templates").glob("*.html"))
COLOUR = re.compile(r"#(?:[0-9a-f]{3}){1,2}(?![-\w])|\b(?:rgb|hsl)a?\(", re.IGNORECASE)


def test_reports_carry_the_sheet_inside() -> None:
    page = render_page("page.html")
    assert SHEET.read_text().strip() in page
    assert page.count("<style>") == 1
    assert not re.search(r"<script|<link|@import|url\(", page)


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.name)
def test_every_report_is_made_of_the_same_page(path: Path) -> None:
    text = path.read_text()
    assert text.startswith('{% extends "page.html" %}')
    assert not re.search(r"<style|style=|\| *safe", text)


def test_pages_are_served_the_same_sheet() -> None:
    app = FastAPI()
    ASSETS.mount(app)
    assert TestClient(app).get(ASSETS.address("base.css")).content == SHEET.read_bytes()
    whole = [path.name for path in PAGES if "<html" in path.read_text()]
    assert whole == ["base.html"]
    assert "asset('base.css')" in ENVIRONMENT.loader.get_source(ENVIRONMENT, "base.html")[0]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "path", [*REPORTS, *PAGES, TEMPLATES / "report.css", FOLDER / "static" / "app.css"], ids=lambda path: path.name
)
def test_colours_are_named_in_the_sheet_alone(path: Path) -> None:
    assert not COLOUR.search(path.read_text())
