"""The capture widget in a browser: what a hand does there comes out as ink that primes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import handtraj as ht
from handtraj.sources.ink_file import prepare_prime, read_ink_file
from handtraj.sources.scribe import ScribeStyle, write_line
from handtraj.widgets import Capture

TEXT = "see the moon"

pytestmark = pytest.mark.browser


@pytest.fixture
def page(browser: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A bare page with the widget; it may ask nobody and report no error."""
    width = getattr(request, "param", 1280)
    file = tmp_path / "page.html"
    file.write_text(
        '<!doctype html><html lang="en"><meta name="viewport" content="width=device-width">'
        f"<title>capture</title><body>{Capture(TEXT)._repr_html_()}</body></html>",
        encoding="utf-8",
    )
    context = browser.new_context(
        viewport={"width": width, "height": 800}, accept_downloads=True, has_touch=width < 500
    )
    found = context.new_page()
    trouble: list[str] = []
    found.on("pageerror", lambda error: trouble.append(str(error)))
    found.on(
        "request",
        lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else trouble.append(r.url),
    )
    found.goto(file.as_uri())
    found.wait_for_selector(".handtraj-capture .area")
    yield found
    context.close()
    assert trouble == []


def strokes_in(area: dict[str, float]) -> list[np.ndarray]:
    """A line of handwriting, y down, within the area; every second point of the scribe's."""
    line = write_line(TEXT, ScribeStyle(slant=8.0), np.random.default_rng(3))
    every = np.concatenate(line.strokes)
    unit = min(
        0.9 * area["width"] / np.ptp(every[:, 0]), 0.6 * area["height"] / np.ptp(every[:, 1])
    )
    low = every.min(0)
    found = []
    for stroke in line.strokes:
        x = area["x"] + 0.04 * area["width"] + unit * (stroke[:, 0] - low[0])
        y = area["y"] + 0.85 * area["height"] - unit * (stroke[:, 1] - low[1])
        found.append(np.column_stack([x, y])[::2])
    return found


def draw(page: Any, strokes: list[np.ndarray]) -> None:
    """Move the mouse as a pen."""
    for stroke in strokes:
        page.mouse.move(*stroke[0])
        page.mouse.down()
        for x, y in stroke[1:]:
            page.mouse.move(x, y)
        page.mouse.up()


def download(page: Any, folder: Path) -> Path:
    """Press the button and keep the file."""
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download JSON").click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


@pytest.mark.parametrize("page", [1280, 390], indirect=True)
def test_what_was_drawn_primes_the_shipped_writer(page: Any, tmp_path: Path) -> None:
    box = page.locator(".area").bounding_box()
    drawn = strokes_in(box)
    draw(page, drawn)
    path = download(page, tmp_path)
    assert path.name == "handwriting.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    assert set(document) == {"text", "strokes"}
    assert document["text"] == TEXT
    assert len(document["strokes"]) == len(drawn)
    for got, wanted in zip(document["strokes"], drawn, strict=True):
        # A border of one pixel lies between the box and what is drawn in it.
        corner = np.array([box["x"] + 1, box["y"] + 1])
        np.testing.assert_allclose(np.array(got)[[0, -1], :2] + corner, wanted[[0, -1]], atol=1.01)
        assert (np.diff(np.array(got)[:, 2]) >= 0).all()
    found = read_ink_file(path)
    assert found.rate_known
    assert found.text == TEXT
    assert found.format == "json"
    # A robot's mouse has no tempo of a hand: take the order and the shape.
    plain = [np.array(s)[:, :2] * [1, -1] for s in document["strokes"]]
    ink, _ = prepare_prime(plain, found.text, rate_known=False)
    style = ht.load_writer().prime(ink, found.text, name="captured")
    assert style.points == len(ink)


def test_undo_clear_and_the_state_of_the_buttons(page: Any) -> None:
    buttons = {n: page.get_by_role("button", name=n) for n in ("Undo stroke", "Clear", "Download")}
    assert all(button.is_disabled() for button in buttons.values())
    draw(page, strokes_in(page.locator(".area").bounding_box()))
    drawn = page.locator(".ink path").count()
    assert drawn > 1
    assert all(button.is_enabled() for button in buttons.values())
    buttons["Undo stroke"].click()
    assert page.locator(".ink path").count() == drawn - 1
    assert f"{drawn - 1} strokes" in page.get_by_role("status").inner_text()
    buttons["Clear"].click()
    assert page.locator(".ink path").count() == 0
    assert all(button.is_disabled() for button in buttons.values())


def test_a_text_the_network_does_not_know_is_not_saved(page: Any) -> None:
    draw(page, strokes_in(page.locator(".area").bounding_box()))
    field = page.get_by_label("What it says")
    field.fill("naïve")
    assert page.get_by_role("button", name="Download").is_disabled()
    assert "does not know ï" in page.get_by_role("status").inner_text()
    field.fill("")
    assert page.get_by_role("button", name="Download").is_disabled()
    field.fill("naive")
    assert page.get_by_role("button", name="Download").is_enabled()


def test_the_keyboard_writes(page: Any, tmp_path: Path) -> None:
    """Tab to the area, a corner of two arrows, a second stroke, and one taken back."""
    page.get_by_label("What it says").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.classList.contains('area')")
    page.keyboard.press("Space")
    for key in ("ArrowRight", "ArrowRight", "ArrowUp", "Shift+ArrowUp"):
        page.keyboard.press(key)
    page.keyboard.press("Space")
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    page.keyboard.press("Space")
    page.keyboard.press("Space")
    page.keyboard.press("Space")
    page.keyboard.press("Control+z")
    strokes = json.loads(download(page, tmp_path).read_text())["strokes"]
    assert len(strokes) == 2
    first = np.array(strokes[0])[:, :2]
    np.testing.assert_allclose(np.diff(first, axis=0), [[4, 0], [4, 0], [0, -4], [0, -20]])
    np.testing.assert_allclose(np.array(strokes[1])[0, :2] - first[-1], [8, 0])


@pytest.mark.parametrize("page", [390], indirect=True)
def test_a_finger_draws_and_does_not_scroll(page: Any) -> None:
    box = page.locator(".area").bounding_box()
    session = page.context.new_cdp_session(page)
    for kind, down in (
        ("touchStart", 30),
        ("touchMove", 60),
        ("touchMove", 90),
        ("touchEnd", None),
    ):
        at = [] if down is None else [{"x": box["x"] + 50, "y": box["y"] + down}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})
    page.wait_for_selector(".ink path", state="attached")
    assert "1 stroke," in page.get_by_role("status").inner_text()
    assert page.evaluate("scrollY") == 0
    assert page.evaluate("getComputedStyle(document.querySelector('.area')).touchAction") == "none"
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_once_a_pen_was_seen_a_touch_is_a_palm(page: Any) -> None:
    """A palm lies down first, then the pen, then the palm again: one stroke is left."""
    touch = "new PointerEvent(kind, {pointerId: id, pointerType: type, button: 0, bubbles: true, "
    script = (
        "([kind, id, type, x, y]) => document.querySelector('.area').dispatchEvent("
        + touch
        + "clientX: x, clientY: y}))"
    )
    for kind, pointer, of, x, y in (
        ("pointerdown", 7, "touch", 200, 150),
        ("pointerdown", 8, "pen", 100, 100),
        ("pointermove", 7, "touch", 210, 160),
        ("pointermove", 8, "pen", 120, 110),
        ("pointerup", 8, "pen", 120, 110),
        ("pointerdown", 9, "touch", 250, 150),
    ):
        page.evaluate(script, [kind, pointer, of, x, y])
    assert page.locator(".ink path").count() == 1
    assert "1 stroke, 2 points" in page.get_by_role("status").inner_text()
