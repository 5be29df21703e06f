"""A real browser for tests of pages: Debian's Chromium, or any other, without a window.

page on disk -> file:// -> Chromium over playwright -> what it shows, says on its console and asks for
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

NAMES = ("chromium", "chromium-browser", "google-chrome")


@dataclass
class Opened:
    """page: playwright's; complaints: errors and warnings on the console; asked: all requests but data: URIs."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def pixels(self, selector: str) -> np.ndarray:
        """What a part of the page looks like: uint8 [H, W, 3]."""
        picture = self.page.locator(selector).screenshot(animations="disabled")
        return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))

    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        return self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def chromium() -> str:
    """The browser's path; the test is skipped where there is none."""
    found = os.environ.get("LECODEC_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed, and LECODEC_CHROMIUM names none")
    return found


@contextmanager
def browser() -> Iterator[Any]:
    """A running browser."""
    path = chromium()
    playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield running
        finally:
            running.close()


def open_page(running: Any, path: Path, width: int = 1280, height: int = 900, **options: Any) -> Opened:
    """Load a file. options: of playwright's contexts, as has_touch or color_scheme."""
    context = running.new_context(viewport={"width": width, "height": height}, **options)
    opened = Opened(context.new_page())
    opened.page.on("console", lambda m: opened.complaints.append(m.text) if m.type in ("error", "warning") else None)
    opened.page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.page.on("request", lambda r: None if r.url.startswith("data:") else opened.asked.append(r.url))
    opened.page.goto(path.resolve().as_uri())
    return opened
