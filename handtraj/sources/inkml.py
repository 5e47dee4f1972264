"""Ink from InkML files (W3C Ink Markup Language 1.0, 2011), and safe XML for all readers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, ParseError

import numpy as np
from numpy.typing import NDArray

from handtraj.ink import MAX_POINTS, clean_text

__all__ = ["parse_inkml", "parse_xml", "trace_points"]

_VALUE = re.compile(
    r"\s*([!'\"]?)\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|#[0-9A-Fa-f]+|[*?TF])"
)
_ID = "{http://www.w3.org/XML/1998/namespace}id"
_TRUTH = ("truth", "text")


@dataclass(frozen=True)
class TraceFormat:
    """Channels of a trace: names, how many are in every point, and flipped axes."""

    names: tuple[str, ...] = ("X", "Y")
    regular: int = 2
    flipped: frozenset[str] = frozenset()


def local(element: Element) -> str:
    """The name of an element without its namespace ("" for comments)."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def parse_xml(data: bytes) -> Element:
    """Parse XML; entities of any kind are refused.

    Raises
    ------
    ValueError
        If the document is no XML, or declares entities.
    """
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        root: Element = fromstring(data)
    except DefusedXmlException:
        raise ValueError(
            "the XML declares entities, which are not read; save it without a DTD"
        ) from None
    except (ParseError, LookupError, ValueError) as error:
        raise ValueError(f"not well-formed XML: {str(error).splitlines()[0]}") from None
    return root


def parse_inkml(root: Element) -> tuple[list[NDArray[np.float64]], str]:
    """Traces of an InkML document, in document order.

    Parameters
    ----------
    root : Element
        The `ink` element.  Formats are found through `contextRef`, `context`
        and `traceFormatRef`; `penUp` traces and trace views are left out.

    Returns
    -------
    strokes : list of array, shapes (n, 2) or (n, 3)
        x, y (up), and the time where a channel T is there for all points.
    text : str
        The outermost annotations of type "truth" or "text", "" if none.

    Raises
    ------
    ValueError
        If a reference is broken or a trace cannot be read.
    """
    ids = {e.get(_ID) or e.get("id"): e for e in root.iter() if e.get(_ID) or e.get("id")}
    strokes = []
    truths: dict[int, list[str]] = {}
    total = 0
    current = TraceFormat()
    stack: list[tuple[Element, TraceFormat | None, int]] = [(root, None, 0)]
    while stack:
        element, form, depth = stack.pop()
        name = local(element)
        if name in ("definitions", "traceView"):
            continue
        if name == "annotation" and element.get("type", "").lower() in _TRUTH:
            truths.setdefault(depth, []).append(clean_text("".join(element.itertext())))
        elif name in ("context", "traceFormat"):
            # A context beside the traces changes the current one from here on.
            current = _format(element, ids, current)
        else:
            if element.get("contextRef"):
                form = _format(_lookup(element.get("contextRef", ""), ids), ids, TraceFormat())
            if name == "trace":
                if element.get("type", "penDown") != "penUp":
                    points = trace_points("".join(element.itertext()), form or current)
                    total += len(points)
                    if total > MAX_POINTS:
                        message = f"ink has more than {MAX_POINTS} points; cut it into lines"
                        raise ValueError(message)
                    strokes.append(points)
            else:
                stack += [(child, form, depth + 1) for child in reversed(element)]
    text = clean_text(" ".join(truths[min(truths)])) if truths else ""
    return [s for s in strokes if len(s)], text


def _lookup(reference: str, ids: dict[Any, Element]) -> Element:
    found = ids.get(reference.removeprefix("#"))
    if found is None:
        if reference == "#DefaultContext":
            return Element("context")
        raise ValueError(f"InkML refers to {reference[:60]!r}, which the file does not hold")
    return found


def _format(element: Element, ids: dict[Any, Element], default: TraceFormat) -> TraceFormat:
    """The trace format of a `context` or `traceFormat` element."""
    seen: set[int] = set()
    while local(element) != "traceFormat":
        if id(element) in seen:
            raise ValueError("InkML contexts refer to each other in a circle")
        seen.add(id(element))
        inside = next((e for e in element.iter() if local(e) == "traceFormat"), None)
        reference = element.get("traceFormatRef") or element.get("contextRef")
        if inside is not None:
            element = inside
        elif reference:
            element = _lookup(reference, ids)
        else:
            return default
    rows = [e for e in element if local(e) == "channel"]
    late = [e for e in element if local(e) == "intermittentChannels"]
    rest = [e for group in late for e in group if local(e) == "channel"]
    if not rows and not rest:
        return default
    names = tuple(e.get("name", "").upper() for e in rows + rest)
    if "X" not in names[: len(rows)] or "Y" not in names[: len(rows)]:
        raise ValueError(f"InkML traceFormat needs channels X and Y, got {' '.join(names)[:60]!r}")
    flipped = {n for n, e in zip(names, rows + rest, strict=True) if e.get("orientation") == "-ve"}
    return TraceFormat(names, len(rows), frozenset(flipped))


def trace_points(text: str, form: TraceFormat | None = None) -> NDArray[np.float64]:
    """Points of one trace: x, y up and, where every point has it, the time.

    A value stands for itself (``!``), for the first difference (``'``) or for
    the second (``"``); a mark holds for its channel until another one.  ``*``
    repeats what the channel was last told: the value, the first difference,
    or, with a second difference of zero, the speed.  InkML's Y grows downwards
    unless the channel's orientation is "-ve".

    Returns
    -------
    array, shape (n, 2) or (n, 3)

    Raises
    ------
    ValueError
        If a point has too few or too many values, or something is no number.
    """
    form = form or TraceFormat()
    count = len(form.names)
    value, speed, mark = [0.0] * count, [0.0] * count, ["!"] * count
    wanted = [form.names.index("X"), form.names.index("Y")]
    timed = "T" in form.names
    out = []
    if not text.strip():
        return np.empty((0, 2))
    for number, chunk in enumerate(text.strip().rstrip(",").split(",")):
        found = _tokens(chunk, number)
        if not form.regular <= len(found) <= count:
            raise ValueError(
                f"point {number} of a trace has {len(found)} values, its format {form.regular}"
            )
        for k, (prefix, token) in enumerate(found):
            mark[k] = prefix or mark[k]
            _advance(k, token, mark[k], value, speed)
        timed &= form.names.index("T") < len(found) if timed else False
        out.append(value.copy())
    xyt = np.array(out)
    points = xyt[:, [*wanted, form.names.index("T")]] if timed else xyt[:, wanted]
    if not np.isfinite(points).all():
        raise ValueError("a trace holds NaN or infinity")
    if "X" in form.flipped:
        points[:, 0] *= -1
    if "Y" not in form.flipped:
        points[:, 1] *= -1
    return points


def _tokens(chunk: str, number: int) -> list[tuple[str, str]]:
    found, at = [], 0
    chunk = chunk.rstrip()
    while at < len(chunk):
        match = _VALUE.match(chunk, at)
        if not match:
            raise ValueError(f"point {number} of a trace is no list of numbers: {chunk[:40]!r}")
        found.append((match[1], match[2]))
        at = match.end()
    return found


def _advance(k: int, token: str, mark: str, value: list[float], speed: list[float]) -> None:
    """Move channel `k` on by one value."""
    before = value[k]
    if token in "?TF":
        # Not a number: the channel stays where it is.
        speed[k] = 0.0
        return
    if token == "*":
        amount = {"!": before, "'": speed[k], '"': 0.0}[mark]
    else:
        amount = float(int(token[1:], 16)) if token[0] == "#" else float(token)
    if mark == "!":
        value[k] = amount
    else:
        value[k] = before + (amount if mark == "'" else speed[k] + amount)
    speed[k] = value[k] - before
