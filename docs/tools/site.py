"""A hook of mkdocs: what pages link to outside of docs/ becomes part of the site.

README.md is the front page. Another file is a page that shows it, as docker/example/train.py. So the same links work in
a checkout, on a git host, and in the site.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
PAGES = {"README.md": "index.md"} | {name: name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")}
LINK = re.compile(r"(\]\(|\b(?:src|srcset|href)=\")(?!\w+:|#)([^)\s#\"]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside of docs/, and one for each file that a page links to and no browser shows."""
    for origin, name in PAGES.items():
        files.append(File.generated(config, name, content=(ROOT / origin).read_text()))
    for file in files.documentation_pages():
        for link in LINK.finditer(file.content_string):
            target = place(file.src_uri, link[2])
            page = shown(target)
            if page and (ROOT / target).is_file() and not files.get_file_from_path(page):
                files.append(File.generated(config, page, content=listing(target), inclusion=InclusionLevel.NOT_IN_NAV))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point the links at the pages of the site."""
    here = page.file.src_uri

    def pointed(link: re.Match[str]) -> str:
        target = place(here, link[2])
        new = PAGES.get(target) or shown(target) or target.removeprefix("docs/")
        return link[1] + posixpath.relpath(new, posixpath.dirname(here) or ".")

    return LINK.sub(pointed, markdown)


def place(page: str, link: str) -> str:
    """The path of a link of a page from the root of the checkout."""
    directory = "" if page in PAGES.values() else f"docs/{posixpath.dirname(page)}"
    return posixpath.normpath(posixpath.join(directory, link))


def shown(target: str) -> str | None:
    """The page that shows a file; None for what is in the site as it is."""
    if target in PAGES or (target.startswith("docs/") and target.endswith((".md", ".svg", ".png"))):
        return None
    return f"files/{target}.md"


def listing(path: str) -> str:
    """A page with the text of a file."""
    language = {".py": "python", ".sh": "sh", ".example": "sh"}.get(Path(path).suffix, "text")
    return f"# {path}\n\n`````{language}\n{(ROOT / path).read_text()}`````\n"
