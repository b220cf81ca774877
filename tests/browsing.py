"""A real browser for tests: Debian's Chromium, which asks for nothing but files and loopback."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium")
SHOTS = Path(__file__).parent.parent / "build" / "screenshots"  # kept, to be looked at


@dataclass
class Opened:
    """A page in a window, with what went wrong and what was asked for."""

    page: Page
    problems: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


@contextmanager
def browser() -> Iterator[Browser]:
    """Start Chromium; without it the test is skipped, with what helps."""
    if CHROMIUM is None:
        pytest.skip("no chromium here; it is in Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@contextmanager
def opened(found: Browser, address: str, **context: Any) -> Iterator[Opened]:
    """Open an address in a window of its own and watch what it asks for and complains of."""
    window = found.new_context(**context)
    made = Opened(page=window.new_page())
    made.page.on("console", lambda message: made.problems.append(f"{message.type}: {message.text}"))
    made.page.on("pageerror", lambda error: made.problems.append(str(error)))
    made.page.on("request", lambda request: made.asked.append(request.url))
    made.page.goto(address)
    yield made
    window.close()


def shot(made: Opened, name: str) -> None:
    """Keep a picture of the whole page."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    made.page.screenshot(path=SHOTS / f"{name}.png", full_page=True)
