"""A real browser, driven: the system's Chromium under Playwright, with nothing left behind.

Playwright's own downloads are not used. For tests of what people see, and for the screenshots of
the documentation.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, sync_playwright

#: The browser asks the pages that it is sent to and nobody else.
FLAGS = (
    "--no-sandbox",  # root, as in CI, has no sandbox; only pages on loopback are opened
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
#: A busy machine with two cores draws ten charts in seconds, not in milliseconds.
PATIENCE_MS = 60_000


def find_chromium() -> str:
    """Return the path of Chromium.

    Raises
    ------
    RuntimeError
        If it is not installed; the text says how to install it.
    """
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found:
            return found
    raise RuntimeError("Chromium was not found; on Debian: apt-get install chromium")


@contextmanager
def open_browser(width: int = 1400, height: int = 900) -> Iterator[Page]:
    """Open an empty page of a new profile; leaving ends the browser and removes the profile.

    Parameters
    ----------
    width, height : int
        Of the page, in pixels.
    """
    chromium = find_chromium()
    with (
        tempfile.TemporaryDirectory(prefix="barwright-browser-", ignore_cleanup_errors=True) as at,
        sync_playwright() as playwright,
    ):
        context = playwright.chromium.launch_persistent_context(
            at,
            executable_path=chromium,
            headless=True,
            args=list(FLAGS),
            viewport={"width": width, "height": height},
            timeout=PATIENCE_MS,
        )
        try:
            context.set_default_timeout(PATIENCE_MS)
            yield context.pages[0]
        finally:
            context.close()


def close_assistant(page: Page, address: str) -> None:
    """Close the panel that MLflow's UI opens at a profile's first visit; it stays closed."""
    page.goto(f"{address}/#/experiments")
    page.get_by_role("button", name="Close", exact=True).click()
