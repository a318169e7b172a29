"""Pages of the documentation site that are made when it is built (a hook of MkDocs, see `mkdocs.yml`).

The reference of the command line comes from the commands themselves, the changes from `CHANGELOG.md`. Files outside
`docs/` that a page links to, code and notebooks, become pages too: so the same link works in the repository and here.
"""

from __future__ import annotations

import json
import logging
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

from bench.cli import app

ROOT = Path(__file__).parents[1]
OUTSIDE = re.compile(r"\]\(((?:\.\./)+[\w./-]+\.(?:py|ipynb))(?=[)#])")
REMOTE = re.compile(r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"?(?:https?:)?//|<link\b[^>]*\bhref=\"?(?:https?:)?//")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    linked = {path for page in files.documentation_pages() for path in outside(page.content_string, page.src_uri)}
    for path in sorted(linked):
        page = File.generated(config, f"source/{path}.md", content=source_page(path))
        page.inclusion = InclusionLevel.NOT_IN_NAV
        files.append(page)
    files.append(File.generated(config, "reference/command-line.md", content=command_line()))
    files.append(File.generated(config, "changes.md", content=(ROOT / "CHANGELOG.md").read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Point links to files outside `docs/` at the pages made from them."""
    up = "../" * page.file.src_uri.count("/")

    def inside(link: re.Match[str]) -> str:
        return f"]({up}source/{_in_repository(link[1], page.file.src_uri)}.md"

    return OUTSIDE.sub(inside, markdown)


def on_post_page(output: str, page: Page, **_: Any) -> str:
    """Warn of anything that a browser would fetch from elsewhere; with `--strict` the build fails."""
    if found := REMOTE.search(output):
        logging.getLogger("mkdocs.hooks").warning(f"{page.file.src_uri}: fetched from elsewhere: {found[0]}")
    return output


def outside(text: str, uri: str) -> Iterator[str]:
    """Paths in the repository of the files outside `docs/` that a page links to."""
    for link in OUTSIDE.findall(text):
        yield _in_repository(link, uri)


def _in_repository(link: str, uri: str) -> str:
    return posixpath.normpath(posixpath.join("docs", posixpath.dirname(uri), link))


def source_page(path: str) -> str:
    """A file of code, or a notebook, as a page."""
    text = (ROOT / path).read_text(encoding="utf-8")
    if not path.endswith(".ipynb"):
        return f"# {path}\n\n```python\n{text}```\n"
    parts = [
        "".join(cell["source"]) if cell["cell_type"] == "markdown" else f"```python\n{''.join(cell['source'])}\n```"
        for cell in json.loads(text)["cells"]
    ]
    return "\n\n".join([*parts, f"(`{path}`)\n"])


def command_line() -> str:
    """Every command with its help."""
    group: Any = typer.main.get_command(app)
    parts = ["# Command line", "What `bench --help` and `bench COMMAND --help` say."]
    for name, command in _commands(group, "bench"):
        words, _, examples = (command.help or "").partition("Example")
        parts += [f"## {name}", words.strip()]
        if examples:
            lines = [line.strip() for line in examples.splitlines()[1:] if line.strip()]
            parts.append("\n".join(["```sh", *lines, "```"]))
        context = typer.Context(command, info_name=name)
        usage = " ".join(command.collect_usage_pieces(context))
        records = [record for parameter in command.params if (record := parameter.get_help_record(context))]
        rows = [f"| `{option.strip().replace('|', ', ')}` | {_cell(text)} |" for option, text in records]
        parts.append("\n".join([f"`{name} {usage}`", "", "| argument | meaning |", "|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def _commands(group: Any, name: str) -> Iterator[tuple[str, Any]]:
    for word, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{name} {word}")
        else:
            yield f"{name} {word}", command


def _cell(text: str) -> str:
    text = re.sub(r"\[cyan\](.*?)\[/cyan\]", r"`\1`", text.replace("\\[", "["))
    return text.replace("|", r"\|").replace("<", "&lt;")
