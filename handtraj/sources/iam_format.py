"""The files of IAM-OnDB: where they lie, and what one of them says.

The database (Liwicki and Bunke 2005, ICDAR) has one XML file a written line
below `lineStrokes`, one text file a form below `ascii`, the original forms
with their writers below `original`, and the four lists of the recognition
task IAM-OnDB-t1.  Forms are named like `a01-000u`, lines like `a01-000u-01`.
"""

from __future__ import annotations

import html
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml import ElementTree as Defused
from numpy.typing import NDArray

from handtraj.ink import MAX_POINTS, clean_text
from handtraj.sources.unpack import unpack

__all__ = [
    "SITE",
    "TASK_FILES",
    "Parts",
    "even_in_time",
    "find_parts",
    "read_line_strokes",
    "read_splits",
    "read_transcript",
    "read_writers",
    "sample_time",
]

#: Where the database is to be had, after registering there.
SITE = "https://fki.tic.heia-fr.ch/databases/iam-on-line-handwriting-database"
#: The lists of IAM-OnDB-t1 and the part of a corpus each of them is.  Both
#: validation sets are "validation": their writers are their own, while "text"
#: is for texts of training writers.
TASK_FILES = {
    "trainset.txt": "train",
    "testset_v.txt": "validation",
    "testset_t.txt": "validation",
    "testset_f.txt": "test",
}
#: Archives of the site by the folder they hold; the first that is there counts.
_ARCHIVES = {
    "lineStrokes": ("lineStrokes-all",),
    "ascii": ("ascii-all",),
    "original": ("original-xml-all", "original-xml-part"),
    "task": ("task1", "iamondb-t1", "IAM-OnDB-t1"),
}
_ENDS = (".tar.gz", ".tgz", ".tar", ".tar.xz", ".zip")
#: A line has some hundred points in 50 kB; a file beyond this is no line.
_MAX_BYTES = 16 * 2**20
_FORM = re.compile(r"[a-z]\d\d-\d{3}[a-z]*")


@dataclass(frozen=True)
class Parts:
    """Where the parts of the database lie; None where one is missing."""

    strokes: Path
    ascii: Path
    original: Path | None
    mapping: tuple[Path, ...]
    lists: dict[str, Path]


def find_parts(place: Path, scratch: Path) -> Parts:
    """Find the parts of the database, unpacking the archives of it to `scratch`.

    Parameters
    ----------
    place : Path
        A folder with the parts in it (up to three levels deep) or with the
        archives of the site, or one archive that holds all of it.
    scratch : Path
        An empty folder for what has to be unpacked.

    Raises
    ------
    ValueError
        If strokes, transcripts or writers are missing, with what to download
        and from where, or if an archive is damaged or points outside.
    """
    if place.is_file():
        place = unpack(place, scratch / "all")
    if not place.is_dir():
        raise ValueError(f"{place} does not exist; give the folder of IAM-OnDB (from {SITE})")
    roots = [place]
    for part, names in _ARCHIVES.items():
        if _named(place, part, folder=True) is None:
            archive = _archive(place, names)
            if archive is not None:
                roots.append(unpack(archive, scratch / f"unpacked-{part}"))

    def folder(name: str) -> Path | None:
        return next((p for r in roots if (p := _named(r, name, folder=True))), None)

    def file(name: str) -> Path | None:
        return next((p for r in roots if (p := _named(r, name, folder=False))), None)

    strokes, ascii_, original = folder("lineStrokes"), folder("ascii"), folder("original")
    if strokes is None:
        raise _missing(place, "the strokes", "lineStrokes-all.tar.gz")
    if ascii_ is None:
        raise _missing(place, "the transcripts", "ascii-all.tar.gz")
    mapping = tuple(p for name in ("forms.txt", "writers.xml") if (p := file(name)))
    if original is None and not mapping:
        raise _missing(place, "the writers of the forms", "original-xml-all.tar.gz or forms.txt")
    lists = {name: p for name in TASK_FILES if (p := file(name))}
    return Parts(strokes, ascii_, original, mapping, lists)


def _missing(place: Path, what: str, names: str) -> ValueError:
    return ValueError(f"{place} lacks {what}: download {names} from {SITE} (registration) into it")


def _archive(place: Path, names: tuple[str, ...]) -> Path | None:
    for name in names:
        for end in _ENDS:
            found = _named(place, name + end, folder=False)
            if found:
                return found
    return None


def _named(root: Path, name: str, *, folder: bool) -> Path | None:
    """A folder or file of that name at or up to three levels below `root`."""
    if folder and root.name == name:
        return root
    for pattern in (name, f"*/{name}", f"*/*/{name}"):
        for found in sorted(root.glob(pattern)):
            if found.is_dir() if folder else found.is_file():
                return found
    return None


def read_line_strokes(path: str | os.PathLike[str]) -> list[NDArray[np.float64]]:
    """Strokes of one file below `lineStrokes`.

    Parameters
    ----------
    path : path
        An XML file with a `StrokeSet`.

    Returns
    -------
    list of array, shape (n, 3)
        Columns x and y in device units, **y up** (the file has y down), and
        time in seconds as it stands there.  Strokes without points are left out.

    Raises
    ------
    ValueError
        If the file is missing, too large, no such XML, defines entities, or
        holds no points, too many, or one without three finite numbers.
    """
    path = Path(path)
    root = _parse(path)
    if root.tag != "WhiteboardCaptureSession":
        raise ValueError(f"{path} is no ink of IAM-OnDB: it starts with <{root.tag}>")
    strokes, total = [], 0
    for number, stroke in enumerate(root.iterfind("StrokeSet/Stroke"), start=1):
        points = stroke.findall("Point")
        if not points:
            continue
        total += len(points)
        if total > MAX_POINTS:
            raise ValueError(f"{path} has more than {MAX_POINTS} points; a line has some hundred")
        try:
            rows = np.array([[float(p.attrib[k]) for k in ("x", "y", "time")] for p in points])
        except (KeyError, ValueError):
            raise ValueError(f"{path}: stroke {number} has a point without x, y or time") from None
        if not np.isfinite(rows).all():
            raise ValueError(f"{path}: stroke {number} holds NaN or infinity")
        strokes.append(rows * [1.0, -1.0, 1.0])
    if not strokes:
        raise ValueError(f"{path} holds no strokes with points")
    return strokes


def even_in_time(
    strokes: Sequence[NDArray[np.float64]], step: float | None = None
) -> list[NDArray[np.float64]]:
    """Interpolate strokes to samples that are even in time.

    Times are rounded where they are recorded, so that several points share
    one: those are taken to follow each other evenly until the next time.  A
    time before the one in front of it counts as equal to it.

    Parameters
    ----------
    strokes : sequence of array, shape (n, 3)
        Columns x, y and time, as :func:`read_line_strokes` gives them.
    step : float, optional
        Seconds between samples; default: a quarter of the median time between
        points, so that little of the form is lost.

    Returns
    -------
    list of array, shape (m, 2)
        Positions, both ends of every stroke kept.
    """
    parts = [s for s in strokes if len(s)]
    tick = sample_time(parts)
    step = tick / 4 if step is None else step
    even = []
    for stroke in parts:
        times = np.maximum.accumulate(stroke[:, 2])
        first = np.flatnonzero(np.diff(times, prepend=-np.inf) > 0)
        # The last time lasts a tick if points share it, and nothing otherwise.
        knots = np.append(first, len(times))
        times = np.interp(np.arange(len(times)), knots, np.append(times[first], times[-1] + tick))
        at = np.linspace(times[0], times[-1], max(1, round((times[-1] - times[0]) / step)) + 1)
        even.append(np.column_stack([np.interp(at, times, stroke[:, k]) for k in (0, 1)]))
        if len(times) == 1:
            even[-1] = even[-1][:1]
    return even


def sample_time(strokes: Sequence[NDArray[np.float64]]) -> float:
    """Median seconds between points that follow each other in a stroke; 0.02 if untold."""
    gaps = [np.diff(np.maximum.accumulate(s[:, 2])) for s in strokes]
    every = np.concatenate(gaps) if gaps else np.empty(0)
    moving = every[every > 0]
    return float(np.median(moving)) if len(moving) else 0.02


def _parse(path: Path) -> Element:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError(f"{path} has more than {_MAX_BYTES} bytes; that is no file of a line")
        root: Element = Defused.fromstring(path.read_bytes())
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    except DefusedXmlException:
        raise ValueError(f"{path} defines entities, which ink never does; not read") from None
    except (ParseError, LookupError) as error:
        raise ValueError(f"{path} is not well-formed XML: {error}") from None
    return root


def read_transcript(path: Path) -> list[str]:
    """The lines of the `CSR:` part of one file below `ascii`, white space collapsed.

    The `OCR:` part before it is the text that was to be written; what was
    written is in the `CSR:` part, one line a written line.

    Raises
    ------
    ValueError
        If the file cannot be read or has no such part.
    """
    lines = iter(_read_text(path).splitlines())
    if not any(line.strip() == "CSR:" for line in lines):
        raise ValueError(f"{path} has no part CSR:, so its transcript is not known")
    found = []
    for line in lines:
        if re.fullmatch(r"[A-Z]{3}:", line.strip()):
            break
        # A transcript that went through XML has &quot; for a quotation mark.
        found.append(clean_text(html.unescape(line)))
    return [line for line in found if line]


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def read_writers(parts: Parts) -> dict[str, str]:
    """The writer of every form, from the original forms, `forms.txt` or `writers.xml`.

    The original form counts where it names a writer, then the mapping files:
    `forms.txt` with a form and its writer on a line, `writers.xml` where its
    `Writer` elements hold `Form` elements.  An original form that cannot be
    read names nobody; writer "0" means an unknown one.

    Raises
    ------
    ValueError
        If a mapping file cannot be read.
    """
    found: dict[str, str] = {}
    for form, writer in _named_writers(parts):
        if writer.strip("0 "):
            found.setdefault(form, writer.strip())
    return found


def _named_writers(parts: Parts) -> Iterator[tuple[str, str]]:
    if parts.original is not None:
        for path in sorted(parts.original.rglob("strokes*.xml")):
            # The place says which form it is; an id inside need not agree with it.
            yield path.parent.name + path.stem.removeprefix("strokes"), _form_writer(path)
    for path in parts.mapping:
        if path.suffix == ".xml":
            for writer in _parse(path).iter("Writer"):
                for form in writer.iter("Form"):
                    name = form.get("id") or form.get("name") or ""
                    yield name, writer.get("name") or writer.get("id") or ""
            continue
        for line in _read_text(path).splitlines():
            words = re.split(r"[\s,;:=]+", line.strip())
            forms = [w for w in words if _FORM.fullmatch(w)]
            others = [w for w in words if w and not _FORM.fullmatch(w)]
            if others and not line.lstrip().startswith("#"):
                yield from ((form, others[0]) for form in forms)


def _form_writer(path: Path) -> str:
    """The writer an original form names, without reading its ink; "" if none."""
    try:
        with path.open("rb") as stream:
            for _, element in Defused.iterparse(stream, events=("start",)):
                if element.tag == "Form":
                    return str(element.get("writerID", ""))
                if element.tag in ("StrokeSet", "Transcription"):
                    break
    except (OSError, DefusedXmlException, ParseError, LookupError):
        pass
    return ""


def read_splits(parts: Parts) -> dict[str, str] | None:
    """The part of every form in the lists of IAM-OnDB-t1; None without lists.

    Raises
    ------
    ValueError
        If only some of the lists are there, or one form stands in two parts.
    """
    if not parts.lists:
        return None
    absent = [name for name in TASK_FILES if name not in parts.lists]
    if absent:
        raise ValueError(
            f"the lists of IAM-OnDB-t1 are not complete: download {', '.join(absent)} from "
            f"{SITE} (registration), or take the other lists away for a split by writer"
        )
    splits: dict[str, str] = {}
    for name, part in TASK_FILES.items():
        for line in _read_text(parts.lists[name]).split():
            if splits.setdefault(line, part) != part:
                raise ValueError(f"form {line} stands in {name} and in the list of another part")
    return splits
