"""Pages that ask for nothing from anywhere: what page.py and votes.py have in common.

    template, style, script, data -> one HTML file

The Content-Security-Policy forbids every request, and lets only the one script run whose digest stands in it. Data are
JSON without `<`, `>` and `&`, so that no name of a file ever becomes code.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from ..quality._extras import extra

__all__ = ["json_in_html", "part", "policy_of", "template_of"]


def json_in_html(value: Any) -> str:
    """JSON that no HTML parser takes for anything else. Raises ValueError for what is not a number."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def policy_of(script: str) -> str:
    """The Content-Security-Policy of a page with this script."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def part(name: str) -> str:
    """A file beside this one."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def template_of(name: str) -> Any:
    """A template of jinja2 that escapes what it is given. Raises InputError when that is not installed."""
    jinja = extra("jinja2")
    made = jinja.Environment(autoescape=True, undefined=jinja.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return made.from_string(part(name))
