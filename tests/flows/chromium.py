"""Chromium as every journey starts it: without a screen, and without what only its window has."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from tests.flows.serving import ROOT

SCREENS = ROOT / "build" / "screens"
# The bar for addresses nobody sees has pages of its own, in a process for each window: half the
# work of opening one. A second list of features takes the place of the first, so that this one
# begins with Playwright's.
_OFF = (
    *("AvoidUnnecessaryBeforeUnloadCheckSync", "DestroyProfileOnBrowserClose", "HttpsUpgrades"),
    *("HttpsFirstBalancedModeAutoEnable", "LensOverlay", "MediaRouter", "PaintHolding"),
    *("ThirdPartyStoragePartitioning", "AvoidCorsURLLoaderRestartOnRedirect", "AimEnabled"),
    *("OptimizationHints", "NetworkTimeServiceQuerying", "PreconnectToSearch"),
    *("WebUIOmniboxPopup", "WebUIOmniboxAimPopup", "WebUIOmniboxFullPopup"),
)


@contextmanager
def chromium(*flags: str) -> Iterator[Browser]:
    """Run the system's Chromium, for people to look later at the pictures tests take with it."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    assert path is not None, "the tests need Chromium: run `make tools`"
    SCREENS.mkdir(parents=True, exist_ok=True)
    words = ["--no-sandbox", f"--disable-features={','.join(_OFF)}", *flags]
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=words)
        yield found
        found.close()
