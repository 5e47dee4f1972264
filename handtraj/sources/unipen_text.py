"""Labels and lines of UNIPEN: cleaning, and cutting wrapped text at words.

The rules follow from how each contributor of the release labelled its ink;
none of them looks at a list of single items.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handtraj.ink import clean_text

__all__ = ["Unit", "clean_label", "is_wrapped", "match_units", "rows_of_units", "unusable_label"]

_BEFORE = re.compile(r" +([,.;:?!)%])")
_AFTER = re.compile(r"([($#]) +")
_APOSTROPHE = re.compile(r"(\w) ?' ?(s|t|d|m|ll|re|ve)\b")
_DIGITS = re.compile(r"\b\d(?: \d)+\b")


@dataclass(frozen=True)
class Unit:
    """A labelled piece inside a text: a word, or a single character."""

    label: str
    strokes: list[NDArray[np.float64]]
    place: tuple[int, int]


def clean_label(label: str, *, tokenised: bool) -> str:
    """The label as it was written.

    Contributors that tokenised their texts put blanks around punctuation
    ("us .", "wasn ' t") and between digits that stand together on paper.
    """
    text = clean_text(label)
    if tokenised:
        text = _APOSTROPHE.sub(r"\1'\2", text)
        text = _AFTER.sub(r"\1", _BEFORE.sub(r"\1", text))
        text = _DIGITS.sub(lambda m: m.group(0).replace(" ", ""), text)
    return text


def unusable_label(text: str, allowed: str, longest: int) -> str | None:
    """Why a label cannot be used, or None.  Reasons are words for the report."""
    if text == "Word!" or "XXX" in text or "AmpersanD" in text or text.startswith("@ "):
        return "placeholder or mark"
    if not 2 <= len(text) <= longest:
        return "length"
    if any(c not in allowed for c in text):
        return "symbol"
    if len(text) > 4 and all(len(word) == 1 for word in text.split(" ")):
        return "spaced characters"
    return None


def match_units(text: str, units: Sequence[Unit]) -> list[tuple[str, Unit]] | None:
    """Give each unit its piece of `text`, blanks and punctuation included.

    Returns None unless the units, in writing order, spell the text (blanks
    aside): then a boundary between two of them is certain.
    """
    pieces = []
    at = 0
    for unit in sorted(units, key=lambda u: u.place):
        label = unit.label.replace(" ", "")
        start = at
        for symbol in label:
            while at < len(text) and text[at] == " ":
                at += 1
            if at == len(text) or text[at] != symbol:
                return None
            at += 1
        pieces.append((text[start:at], unit))
    return pieces if at == len(text) and len(pieces) > 1 else None


def rows_of_units(
    pieces: Sequence[tuple[str, Unit]], height: float
) -> list[tuple[str, list[NDArray[np.float64]]]]:
    """Cut matched units into the rows they were written on.

    A row ends where the next unit starts a word, left of the middle of the
    row so far and lower than the unit before it by more than one x-height.
    """
    rows: list[tuple[str, list[NDArray[np.float64]]]] = []
    text = ""
    ink: list[NDArray[np.float64]] = []
    last = np.empty((0, 2))
    for piece, unit in pieces:
        xy = np.concatenate(unit.strokes)
        if ink:
            before = np.concatenate(ink)
            left = xy[:, 0].min() < (before[:, 0].min() + before[:, 0].max()) / 2
            lower = np.median(xy[:, 1]) < np.median(last[:, 1]) - height
            if left and lower and piece.startswith(" "):
                rows.append((text.strip(), ink))
                text, ink = "", []
        text += piece
        ink = [*ink, *unit.strokes]
        last = xy
    rows.append((text.strip(), ink))
    return rows


def is_wrapped(strokes: Sequence[NDArray[np.float64]], height: float) -> bool:
    """Whether the pen returns to the left onto a lower line.

    True if some stroke starts at least six x-heights left of the ink so far
    ends and lies, whole, more than 2.2 x-heights below the last strokes.
    """
    right = -np.inf
    for index, stroke in enumerate(strokes):
        if index and stroke[0, 0] < right - 6 * height:
            recent = np.concatenate(strokes[max(0, index - 6) : index])
            if stroke[:, 1].max() < np.median(recent[:, 1]) - 1.2 * height and (
                np.median(stroke[:, 1]) < np.median(recent[:, 1]) - 2.2 * height
            ):
                return True
        right = max(right, float(stroke[:, 0].max()))
    return False
