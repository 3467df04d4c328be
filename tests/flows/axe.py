"""axe-core in a page: what keeps somebody from reading or using it (WCAG 2.2, best practice)."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

_SOURCE = Path(__file__).parent / "npm" / "node_modules" / "axe-core" / "axe.min.js"
# a function: an expression would be evaluated in the page, which its policy forbids
_ALL_THERE = """() => document.readyState === 'complete' &&
  [...document.images].every(image => image.complete || image.loading === 'lazy')"""
# what passes is not described: that is most of the work; style sheets are fetched once more for a
# rule alone that is still an experiment, and no rule of these
_RUN = """axe.run({resultTypes: ['violations'], preload: {assets: ['media']}}).then(
  r => r.violations.map(v => [v.id, v.nodes[0].html, v.nodes[0].failureSummary].join(' | ')))"""


def all_there(page: Page) -> None:
    """Wait until the page and its images are there; no half second of silence is asked for."""
    page.wait_for_function(_ALL_THERE)


def violations(page: Page) -> list[str]:
    """Say what axe finds in the page as it is shown now: rule, element, what to do."""
    if page.evaluate("typeof axe") == "undefined":  # read once a page: it is half a megabyte
        page.evaluate(_SOURCE.read_text(encoding="utf-8"))  # past the policy of the page
    found: list[str] = page.evaluate(_RUN)
    return found
