"""The Chromium of the system under Playwright, with a temporary profile.

Tests of pages and the screenshots of the documentation use it. Playwright's own browser downloads
are not used.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, sync_playwright

#: The browser sends requests only to the pages that it opens.
FLAGS = (
    # For root, as in CI, there is no sandbox. The browser opens only pages on loopback.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
#: Longest wait for a page. A busy machine with two cores needs seconds for ten charts.
PATIENCE_MS = 60_000


def find_chromium() -> str:
    """Return the path of Chromium.

    Raises
    ------
    RuntimeError
        If it is not installed; the text contains the command that installs it.
    """
    for name in ("chromium", "chromium-browser", "google-chrome"):
        path = shutil.which(name)
        if path:
            return path
    raise RuntimeError("Chromium was not found; on Debian: apt-get install chromium")


@contextmanager
def open_browser(width: int = 1400, height: int = 900) -> Iterator[Page]:
    """Open an empty page in a browser with a new profile; at the end remove the profile.

    Parameters
    ----------
    width, height : int
        Size of the page, in pixels.

    Yields
    ------
    playwright.sync_api.Page

    Raises
    ------
    RuntimeError
        If Chromium is not installed.
    """
    chromium = find_chromium()
    with (
        tempfile.TemporaryDirectory(
            prefix="barwright-browser-", ignore_cleanup_errors=True
        ) as profile,
        sync_playwright() as playwright,
    ):
        context = playwright.chromium.launch_persistent_context(
            profile,
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
    """Close the panel that MLflow's UI opens at the first visit of a profile."""
    page.goto(f"{address}/#/experiments")
    page.get_by_role("button", name="Close", exact=True).click()
