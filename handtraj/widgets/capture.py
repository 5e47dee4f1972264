"""A place to write by hand, which saves what was written as JSON ink."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from handtraj.alphabet import UNIPEN_SYMBOLS, Alphabet
from handtraj.ink import clean_text

__all__ = ["Capture"]


@dataclass(frozen=True)
class Capture:
    """A ruled area for pen, finger or mouse, with undo, clear and download.

    The download is one line of JSON ink, ``{"text": …, "strokes": [[[x, y, t],
    …], …]}``: pixels with y down and milliseconds since the first point, which
    :func:`handtraj.sources.ink_file.read_ink_file` reads.  Everything happens
    in the page; nothing is sent anywhere.

    Parameters
    ----------
    text : str
        What is to be written, as the field for it says at first.
    height : int
        Of the area, in pixels; its width is that of the page.
    filename : str
        What the download is called.
    symbols : str
        What the text may hold: the alphabet of the network to be primed.

    Raises
    ------
    ValueError
        If the text holds other symbols, the height is not in 120 to 1000, or
        the file name has a path.
    """

    text: str = ""
    height: int = 220
    filename: str = "handwriting.json"
    symbols: str = UNIPEN_SYMBOLS

    def __post_init__(self) -> None:
        alphabet = Alphabet(self.symbols)
        if clean_text(self.text):
            alphabet.encode(clean_text(self.text))
        if not 120 <= self.height <= 1000:
            raise ValueError(f"height must be 120 to 1000 pixels, got {self.height}")
        if not self.filename or any(c in self.filename for c in "/\\:\0"):
            raise ValueError(f"filename must be a plain file name, got {self.filename!r}")

    def _repr_html_(self) -> str:
        here = files("handtraj.widgets")
        style = (here / "capture.css").read_text(encoding="utf-8")
        module = (here / "capture.js").read_text(encoding="utf-8")
        # Several of them may stand in one page.
        name = f"handtraj-capture-{uuid.uuid4().hex[:12]}"
        options = {
            "text": clean_text(self.text),
            "height": self.height,
            "filename": self.filename,
            "symbols": self.symbols,
        }
        # "<" would let a text end the script.
        given = json.dumps(options).replace("<", "\\u003c")
        return (
            f'<div id="{name}" class="handtraj-capture">'
            f"<noscript>{escape('Writing here needs JavaScript.')}</noscript></div>"
            f"<style>{style}</style>"
            f'<script type="module">{module}\n'
            f'mount(document.getElementById("{name}"), {given});</script>'
        )
