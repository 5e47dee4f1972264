"""The symbols a network can write, and text to codes and back."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["UNIPEN_SYMBOLS", "Alphabet", "wrap"]

#: The 79 symbols that remain of the UNIPEN corpus after filtering.
UNIPEN_SYMBOLS = " abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!\"#$%&'(),-./:;?"


@dataclass(frozen=True)
class Alphabet:
    """An ordered set of symbols; code 0 is padding, symbol i has code i + 1.

    Raises
    ------
    ValueError
        If a symbol repeats, or there is none.
    """

    symbols: str = UNIPEN_SYMBOLS

    def __post_init__(self) -> None:
        if not self.symbols:
            raise ValueError("an alphabet needs at least one symbol")
        if len(set(self.symbols)) != len(self.symbols):
            raise ValueError("the symbols of an alphabet must differ from each other")

    def __len__(self) -> int:
        """Number of codes, padding included."""
        return len(self.symbols) + 1

    def encode(self, text: str) -> NDArray[np.int64]:
        """Codes of `text`, shape (C,).

        Raises
        ------
        ValueError
            If `text` is empty or holds symbols outside the alphabet (all of
            them are named).
        """
        if not text:
            raise ValueError("text is empty; give at least one character")
        unknown = self.unknown(text)
        if unknown:
            listed = " ".join(repr(c) for c in unknown[:10])
            more = f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""
            raise ValueError(
                f"text has symbols outside the alphabet: {listed}{more}; allowed: {self.symbols}"
            )
        table = {symbol: code for code, symbol in enumerate(self.symbols, start=1)}
        return np.array([table[c] for c in text], dtype=np.int64)

    def decode(self, codes: Iterable[int]) -> str:
        """Text of `codes`; padding is skipped."""
        return "".join(self.symbols[int(c) - 1] for c in codes if int(c) > 0)

    def unknown(self, text: str) -> list[str]:
        """Symbols of `text` that are not in the alphabet, each once, in order."""
        return [c for c in dict.fromkeys(text) if c not in self.symbols]


def wrap(text: str, width: int = 34) -> list[str]:
    """Break a text into lines of at most `width` characters, at words.

    Line breaks in the text stay.

    Raises
    ------
    ValueError
        If the text is empty or the width below 1.
    """
    if width < 1:
        raise ValueError(f"width must be >= 1 characters, got {width}")
    lines = [
        row
        for part in text.splitlines()
        for row in textwrap.wrap(part, width, break_long_words=False, break_on_hyphens=False)
    ]
    if not lines:
        raise ValueError("text is empty; give at least one character")
    return lines
