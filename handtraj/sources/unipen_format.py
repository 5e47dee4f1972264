"""A parser for UNIPEN 1.0 files (Guyon et al. 1994).

A statement is `.KEYWORD` in the first column and runs to the next one; an
indented dot is text.  Pen-down and pen-up blocks with at least one coordinate
are *components*, numbered together from 0; blocks without coordinates are not
counted.  A segment names its components and, inside them, its points:
`A[:M][-B[:N]][,…]`, both ends included.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Component", "Document", "Segment", "UnipenError", "parse_file"]

MAX_DEPTH = 16
MAX_BYTES = 64 * 2**20
_LARGEST = 2.0**53

_STATEMENT = re.compile(r"\n\.([A-Z][A-Z0-9_]*)")
_SEGMENT = re.compile(r'\s*(\S+)\s+(\S+)\s+(\S+)\s+"((?:[^"\\]|\\.)*)"\s*$', re.DOTALL)
_PLACE = re.compile(r"(\d+)(?::(\d+))?(?:-(\d+)(?::(\d+))?)?$")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_PEN = frozenset({"PEN_DOWN", "PEN_UP"})
_ONE_LINE = frozenset({"WRITER_ID", "DATA_ID", "STYLE", "HAND", "SEX", "COORD", "DATA_SOURCE"})


class UnipenError(ValueError):
    """A file that breaks the rules of the format; the message says where."""


class Component(NamedTuple):
    """One pen-down or pen-up block; `xy` has shape (n, 2), y up."""

    down: bool
    xy: NDArray[np.float64]

    @property
    def blanked(self) -> bool:
        """Whether the release withheld this ink (a single point at 0 0)."""
        return len(self.xy) == 1 and not self.xy.any()


@dataclass(frozen=True)
class Segment:
    """One `.SEGMENT` statement; `number` tells which set of components it means."""

    level: str
    delineation: str
    quality: str
    label: str
    number: int


@dataclass
class Document:
    """A parsed file: sets of components, segments, and the single-line facts."""

    path: Path
    sets: list[list[Component]] = field(default_factory=lambda: [[]])
    segments: list[Segment] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    includes: list[str] = field(default_factory=list)

    def strokes(self, segment: Segment) -> list[NDArray[np.float64]]:
        """Pen-down ink of a segment, in writing order.

        Raises
        ------
        UnipenError
            If the delineation points outside the components, or at ink that
            the release blanked.
        """
        return [xy for _, xy in self.pieces(segment)]

    def pieces(self, segment: Segment) -> list[tuple[tuple[int, int], NDArray[np.float64]]]:
        """As :meth:`strokes`, each with its place (component, first point)."""
        components = self.sets[segment.number]
        pieces = []
        for (first, start), (last, end) in places(segment.delineation, components):
            for index in range(first, last + 1):
                component = components[index]
                low = start if index == first else 0
                high = end if index == last else len(component.xy) - 1
                if high >= len(component.xy) or low > high:
                    raise UnipenError(f"segment {segment.delineation} points outside component")
                if component.down:
                    if component.blanked:
                        raise UnipenError(f"segment {segment.delineation} was blanked")
                    pieces.append(((index, low), component.xy[low : high + 1]))
        if not pieces:
            raise UnipenError(f"segment {segment.delineation} has no pen-down ink")
        return pieces


def places(
    delineation: str, components: list[Component]
) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Ranges ((component, point), (component, point)) of a delineation, ends included."""
    for part in delineation.split(","):
        match = _PLACE.match(part.strip())
        if not match:
            raise UnipenError(f"cannot read the delineation {delineation!r}")
        a, m, b, n = match.groups()
        first = int(a)
        last = int(b) if b is not None else first
        if last >= len(components) or first > last:
            raise UnipenError(
                f"delineation {delineation!r} names component {max(first, last)}, "
                f"the file has {len(components)}"
            )
        if b is None and m is not None:
            # `A:M` alone is one point of one component.
            end = int(m)
        else:
            end = int(n) if n is not None else len(components[last].xy) - 1
        yield (first, int(m or 0)), (last, end)


def parse_file(path: Path, include: Path) -> Document:
    """Parse a UNIPEN file; `.INCLUDE` names are looked up under `include`.

    Raises
    ------
    UnipenError
        If the file (or one it includes) is missing, outside `include`, too
        large, nested too deeply, or not UNIPEN.
    """
    document = Document(path)
    columns = _Columns()
    _parse_into(document, path, include.resolve(), columns, 0)
    if not document.segments and not document.sets[0]:
        raise UnipenError(f"{path.name} is not a UNIPEN file: no segment and no coordinates")
    return document


@dataclass
class _Columns:
    """Where X and Y stand in a coordinate row (`.COORD`)."""

    count: int = 2
    x: int = 0
    y: int = 1


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UnipenError(f"{path.name} is larger than {MAX_BYTES >> 20} MiB")
        return path.read_bytes().decode("latin-1").replace("\r\n", "\n").replace("\r", "\n")
    except OSError as error:
        raise UnipenError(f"cannot read {path.name}: {error.strerror}") from None


def _parse_into(
    document: Document, path: Path, include: Path, columns: _Columns, depth: int
) -> None:
    if depth > MAX_DEPTH:
        raise UnipenError(f"{path.name}: includes nest deeper than {MAX_DEPTH}")
    # The pattern needs a line end before the dot; searching for one is fast.
    text = "\n" + _read(path)
    heads = list(_STATEMENT.finditer(text))
    ends = [*(head.start() for head in heads[1:]), len(text)]
    # Text before the first statement, or without any, belongs to none.
    bodies = [text[head.end() : end] for head, end in zip(heads, ends, strict=False)]
    keywords = [head.group(1) for head in heads]
    numbers = _numbers([b for k, b in zip(keywords, bodies, strict=True) if k in _PEN])
    for keyword, body in zip(keywords, bodies, strict=True):
        if keyword in _PEN:
            xy = _coordinates(body, next(numbers), columns, path)
            # An empty block is a mere event; unipen.def does not count it.
            if len(xy):
                document.sets[-1].append(Component(keyword == "PEN_DOWN", xy))
        elif keyword == "SEGMENT":
            document.segments.append(_segment(body, path, len(document.sets) - 1))
        elif keyword == "INCLUDE":
            name = body.strip()
            target = (include / name).resolve()
            if not target.is_relative_to(include):
                raise UnipenError(f"{path.name} includes {name!r}, outside the include folder")
            document.includes.append(name)
            # Lexicons hold word lists only, and are the bulk of some sources.
            if not name.endswith((".lex", ".freq", ".def")):
                _parse_into(document, target, include, columns, depth + 1)
        elif keyword == "START_SET":
            if document.sets[-1]:
                document.sets.append([])
        elif keyword in _ONE_LINE:
            value = body.strip().split("\n", 1)[0].strip()
            if keyword == "COORD":
                _set_columns(columns, value.upper().split(), path)
            elif value:
                document.facts.setdefault(keyword, value)


def _set_columns(columns: _Columns, names: list[str], path: Path) -> None:
    if "X" not in names or "Y" not in names:
        raise UnipenError(f"{path.name}: .COORD needs X and Y, got {' '.join(names)!r}")
    columns.count, columns.x, columns.y = len(names), names.index("X"), names.index("Y")


def _numbers(blocks: Sequence[str]) -> Iterator[NDArray[np.float64] | None]:
    """The numbers of every pen block; None for all where not all are plain integers.

    A file has thousands of short blocks: parsing them in one go is ten times
    faster than one by one, and coordinates are integers nearly everywhere.
    """
    if not blocks:
        return
    text = "\n".join(blocks) + "\n"
    with warnings.catch_warnings():
        # Older numpy warns where newer raises: both mean "not an integer".
        warnings.simplefilter("error", DeprecationWarning)
        try:
            values = np.fromstring(text, dtype=np.int64, sep=" ").astype(np.float64)
        except (DeprecationWarning, ValueError):
            values = np.empty(0)
    filled = np.frombuffer(text.encode("latin-1"), dtype=np.uint8) > ord(" ")
    # A token ends where a blank follows it.
    tokens = np.flatnonzero(filled[:-1] & ~filled[1:])
    # Numbers that run together, a NUL, or an overflow show here.
    whole = len(tokens) == len(values) and "\0" not in text
    if not whole or np.abs(values).max(initial=0) > _LARGEST:
        yield from [None] * len(blocks)
        return
    borders = np.cumsum([len(block) + 1 for block in blocks])
    stops = np.searchsorted(tokens, borders).tolist()
    for start, stop in zip([0, *stops], stops, strict=False):
        yield values[start:stop]


def _coordinates(
    body: str, values: NDArray[np.float64] | None, columns: _Columns, path: Path
) -> NDArray[np.float64]:
    if values is None:
        try:
            values = np.array([float(v) for v in body.split()], dtype=np.float64)
        except ValueError:
            message = f"{path.name}: a pen block holds something that is no number"
            raise UnipenError(message) from None
        if not np.isfinite(values).all():
            raise UnipenError(f"{path.name}: a pen block holds NaN or infinity")
    if len(values) % columns.count:
        # A stray number breaks one row, not the block: the good rows stay.
        rows = [row.split() for row in body.strip().split("\n")]
        values = np.array([float(v) for row in rows if len(row) == columns.count for v in row])
    rows_of_file = values.reshape(-1, columns.count)
    if (columns.count, columns.x, columns.y) == (2, 0, 1):
        return rows_of_file
    return np.ascontiguousarray(rows_of_file[:, [columns.x, columns.y]])


def _segment(body: str, path: Path, number: int) -> Segment:
    match = _SEGMENT.match(body.rstrip())
    if not match:
        raise UnipenError(f"{path.name}: cannot read .SEGMENT {body.strip()[:60]!r}")
    level, delineation, quality, label = match.groups()
    # `\@` marks a ligature (kai) and is no character; other escapes are literal.
    label = _ESCAPE.sub(lambda m: "" if m.group(1) == "@" else m.group(1), label)
    return Segment(level, delineation, quality, label, number)
