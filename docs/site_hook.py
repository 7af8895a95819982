"""Hooks of mkdocs: what makes a site of pages that are written to be read in the repository.

The navigation is the list of pages in README.md. Links to files outside docs/ lead to pages that show these files.
"""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

DOCS = Path(__file__).parent
ROOT = DOCS.parent
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)")
NAMED = re.compile(r"\[[\w./-]+\.md\]\(((?!\w+:)[^)#\s]+\.md)")
"""A link whose text is the name of a page."""
NUMBERED = re.compile(r"^\d\. .*\n(?:(?: {3}.*)?\n)*", re.MULTILINE)
ROW = re.compile(r"^ *\|.*$", re.MULTILINE)
TITLE = re.compile(r"^# (.+)$", re.MULTILINE)
AS_IT_IS = {".md", ".png", ".svg"}
LISTED = {".cpp", ".h", ".json", ".md", ".py", ".sh", ".toml", ".yml"}
"""What a folder's page names; what else lies there is no text, or made by a build."""
OUTSIDE = "source"
"""Folder of the site with pages that show code, folders, and what stands outside docs/."""
SHOWN: dict[str, Path] = {}
"""Page made here -> the file or folder that it shows."""


def on_config(config: "MkDocsConfig") -> None:
    """Navigation: the sections and links of README.md, in their order."""
    config.nav = navigation((DOCS / "README.md").read_text())


def on_files(files: "Files", config: "MkDocsConfig") -> None:
    """Add a page for every file outside docs/ that a page links to, and for what those pages link to."""
    from mkdocs.structure.files import File, InclusionLevel

    SHOWN.clear()
    waiting = [Path(str(file.abs_src_path)) for file in files.documentation_pages()]
    while waiting:
        for path in linked(waiting.pop()):
            page = place(path)
            if not page.startswith(f"{OUTSIDE}/") or page in SHOWN:
                continue
            SHOWN[page] = path
            files.append(File.generated(config, page, content=_content(path), inclusion=InclusionLevel.NOT_IN_NAV))
            waiting.append(path)


def on_page_markdown(markdown: str, page: "Page", **_: Any) -> str:
    """Turn links between places of the repository into links between pages of the site, as mkdocs reads them."""
    origin = SHOWN.get(page.file.src_uri, DOCS / page.file.src_uri)
    return adapted(relinked(markdown, origin)) if _has_links(origin) else markdown


def navigation(text: str) -> list[dict[str, Any]]:
    """What mkdocs takes as `nav`, of a list of pages in sections."""
    sections: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("## "):
            sections.append((line.removeprefix("## "), []))
        elif sections:
            pages = [place((DOCS / link).resolve()) for link in LINK.findall(line)]
            sections[-1][1].extend(pages)
    return [{"Contents": "README.md"}, *({title: pages} for title, pages in sections)]


def place(path: Path) -> str:
    """The page of the site that shows a file of the repository, or is it."""
    if path.is_relative_to(DOCS) and path.suffix in AS_IT_IS:
        return path.relative_to(DOCS).as_posix()
    name = f"{OUTSIDE}/{path.relative_to(ROOT).as_posix()}"
    return name if path.suffix in AS_IT_IS else f"{name}.md"


def linked(path: Path) -> list[Path]:
    """Files and folders of the repository that a page links to."""
    text = shown(path) if path.is_dir() else path.read_text() if path.suffix == ".md" else ""
    return [target for link in LINK.findall(text) if (target := _target(path, link))]


def relinked(markdown: str, origin: Path) -> str:
    """The text of the page `origin`, with links from its place in the site."""
    start = Path(place(origin)).parent

    def _link(match: re.Match[str]) -> str:
        target = _target(origin, match[1])
        return Path(os.path.relpath(place(target), start)).as_posix() if target else match[1]

    def _titled(match: re.Match[str]) -> str:
        target = _target(origin, match[1])
        title = TITLE.search(target.read_text()) if target else None
        return f"[{title[1]}]({match[1]}" if title else match[0]

    return LINK.sub(_link, NAMED.sub(_titled, markdown))


def adapted(markdown: str) -> str:
    """The same in the dialect of mkdocs, which wants four spaces in lists and no backslash in code in tables."""
    markdown = NUMBERED.sub(lambda item: re.sub(r"^ {3}", " " * 4, item[0], flags=re.MULTILINE), markdown)
    markdown = re.sub(r"^ {2}(?=- )", " " * 4, markdown, flags=re.MULTILINE)
    return ROW.sub(lambda row: re.sub(r"`[^`]+`", lambda code: code[0].replace(r"\|", "|"), row[0]), markdown)


def shown(path: Path) -> str:
    """A page that shows a file of code or lists a folder."""
    name = path.relative_to(ROOT).as_posix()
    if path.is_dir():
        body = "\n".join(_listed(entry, path) for entry in sorted(path.rglob("*")) if _is_shown(entry))
    else:
        body = f"~~~~~~~~ {{.{path.suffix[1:] or 'text'} linenums=1}}\n{path.read_text()}\n~~~~~~~~"
    return f"---\ntitle: {name}\nsearch: {{exclude: true}}\n---\n\n# {name}\n\n{body}\n"


def _target(origin: Path, link: str) -> Path | None:
    path = (origin.parent / link).resolve()
    return path if path.exists() and path.is_relative_to(ROOT) else None


def _content(path: Path) -> str | bytes:
    return path.read_bytes() if path.suffix in AS_IT_IS else shown(path)


def _has_links(path: Path) -> bool:
    return path.suffix == ".md" or path.is_dir()


def _is_shown(entry: Path) -> bool:
    return entry.suffix in LISTED and entry.name != "__init__.py"


def _listed(entry: Path, folder: Path) -> str:
    link = f"- [{entry.relative_to(folder).as_posix()}]({entry.relative_to(folder.parent).as_posix()})"
    first = entry.read_text().partition("\n")[0].strip('"')
    return f"{link}: {first}" if entry.suffix == ".py" else link
