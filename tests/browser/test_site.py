"""The built site in a browser: quiet, self-contained, and as wide as the window."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SITE = Path(__file__).parents[2] / "_build" / "html"
PAGES = [
    "book/intro.html",
    "book/01_ink.html",
    "book/05_writing.html",
    "book/07_trajectories.html",
    "book/10_moving_the_state.html",
    "book/12_your_own_hand.html",
    "book/13_what_held_up.html",
    "book/glossary.html",
    "book/data_and_licences.html",
    "book/bibliography.html",
    "search.html?q=offset",
    "genindex.html",
]
#: Set what Altair's charts have drawn against what the page holds.
CHARTS = """() => {
  const all = [...document.querySelectorAll("[id^=altair-viz]")];
  return [all.length, all.filter((e) => e.querySelector("svg.marks")).length];
}"""

pytestmark = pytest.mark.browser


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing: a request is not news."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The site, served on this machine below a sub-path as project pages are."""
    if not (SITE / "book" / "intro.html").is_file():
        pytest.skip("the book is not built: run `make book` first")
    handler = functools.partial(_Quiet, directory=str(SITE))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("page_name", PAGES)
def test_page_is_quiet_and_fits(
    browser: Any, address: str, page_name: str, width: int, theme: str
) -> None:
    """No request to another host, no error, no sideways scrolling, every chart drawn."""
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=theme, reduced_motion="reduce"
    )
    page = context.new_page()
    elsewhere: list[str] = []
    trouble: list[str] = []
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith((address, "data:", "blob:"))
            else elsewhere.append(request.url)
        ),
    )
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on(
        "console",
        lambda message: trouble.append(message.text) if message.type == "error" else None,
    )
    page.on("response", lambda r: trouble.append(r.url) if r.status >= 400 else None)
    page.goto(f"{address}/{page_name}", wait_until="load")
    page.wait_for_function(
        f"() => {{ const [all, drawn] = ({CHARTS})(); return all === drawn "
        "|| [...document.querySelectorAll('details:not([open]) [id^=altair-viz]')].length "
        ">= all - drawn; }",
        timeout=30_000,
    )
    wide = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    shown = page.evaluate("document.documentElement.dataset.theme")
    context.close()
    assert elsewhere == []
    assert trouble == []
    assert wide <= 0
    assert shown == theme


def test_charts_follow_the_window(browser: Any, address: str) -> None:
    """Narrow and wide again: a chart is as wide as it is drawn, not a shrunken larger one."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(f"{address}/book/13_what_held_up.html", wait_until="load")
    page.wait_for_selector(".vega-embed svg.marks")
    for width in (800, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_function(
            "() => [...document.querySelectorAll('.vega-embed svg.marks')].every(s =>"
            " Math.abs(Number(s.getAttribute('width')) - s.getBoundingClientRect().width) < 2)",
            timeout=5_000,
        )
    page.close()
