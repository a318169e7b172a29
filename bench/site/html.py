"""HTML that is safe by construction: every string is escaped unless it was made here."""

from __future__ import annotations

import hashlib
import html
import re
from typing import Any

_EMPTY = {"input", "link", "meta", "circle", "line", "path"}
_POLICY = (
    "default-src 'none'; script-src 'self' file:; style-src 'self' file: 'unsafe-inline'; img-src 'self' file: data:; "
    "base-uri 'none'; form-action 'none'"
)


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def el(name: str, /, *children: Any, **attributes: Any) -> Html:
    """An element.

    Args:
        name: of the tag.
        children: Strings, which are escaped unless they are `Html`, lists of children, or None, which is left out.
        attributes: ``class_`` is written ``class``, ``data_x`` as ``data-x``; True gives a bare attribute, None and
            False none.
    """
    written = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        attribute = key.rstrip("_").replace("_", "-")
        written.append(f" {attribute}" if value is True else f' {attribute}="{html.escape(str(value))}"')
    start = f"<{name}{''.join(written)}"
    return Html(f"{start}/>" if name in _EMPTY else f"{start}>{join(*children)}</{name}>")


def join(*children: Any) -> Html:
    """Children one after the other, without an element around them."""
    parts: list[str] = []
    for child in children:
        if isinstance(child, Html):
            parts.append(child)
        elif isinstance(child, (list, tuple)):
            parts.append(join(*child))
        elif child is not None:
            parts.append(html.escape(str(child)))
    return Html("".join(parts))


def slug(name: str) -> str:
    """A file name and anchor for any name: short, plain, and different for different names."""
    plain = "_".join(re.sub(r"[^a-z0-9]+", "-", part.lower()).strip("-") for part in name.split("/"))
    own = plain == name.replace("/", "_") and 0 < len(plain) <= 48
    return plain if own else f"{plain[:48]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def document(title: str, body: Html, *, root: str = "", scripts: tuple[str, ...] = ()) -> str:
    """A whole page.

    Args:
        title: for the window.
        body: what is on it.
        root: relative path to the folder of the site, ``"../"`` for pages one below it.
        scripts: files in the folder of the site.
    """
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", title),
        el("link", rel="stylesheet", href=f"{root}assets/site.css"),
        [el("script", "", src=root + script, defer=True) for script in scripts],
    )
    return f"<!doctype html>\n{el('html', head, el('body', body), lang='en')}\n"
