"""UNIPEN train_r01_v07: which parts of the release become lines, and how.

The release (Guyon et al. 1994; Zenodo record 10.5281/zenodo.1195803, CC BY
4.0) holds `data/<category>/<source>/…`, whose files name segments, and
`include/<source>/…` with the ink.  Category 8 is text, 7 words, 3 characters.
"""

from __future__ import annotations

import hashlib
import logging
import multiprocessing
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handtraj.alphabet import UNIPEN_SYMBOLS
from handtraj.ink import MAX_SLOPE
from handtraj.sources.line import Line, level_line, usual_slope
from handtraj.sources.unipen_format import UnipenError, parse_file
from handtraj.sources.unipen_text import (
    Unit,
    clean_label,
    is_wrapped,
    match_units,
    rows_of_units,
    unusable_label,
)
from handtraj.strokes import (
    estimate_slope,
    run_duration,
    vertical_runs,
    x_height,
)

__all__ = ["SOURCES", "Report", "Source", "find_release", "read_lines"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """One contributor's part of the release.

    `family` joins codes that share writers; `folder` is below `data/<category>`.
    """

    name: str
    category: int
    folder: str
    family: str
    tokenised: bool = False
    long_lines: bool = False


SOURCES: tuple[Source, ...] = (
    *(Source(f"bb{c}", 8, f"bb{c}", "bb", long_lines=True) for c in "abcd"),
    Source("lex", 8, "lex", "lex"),
    *(Source(f"ce{c}", 8, f"ce{c}", "ce", tokenised=True) for c in "abc"),
    Source("aga", 8, "aga", "aga"),
    Source("hpb5", 8, "hpb/hpb5", "hp", tokenised=True),
    Source("art", 8, "art", "art"),
    Source("dar", 8, "dar", "dar", tokenised=True),
    Source("phi", 8, "phi", "phi"),
    Source("hpb2", 8, "hpp/hpp2", "hp", tokenised=True),
    *(Source(f"ap{c}", 8, f"ap{c}", "ap") for c in "bcde"),
    Source("hpb1", 8, "sta/sta1", "hp", tokenised=True),
    Source("hpb0", 7, "sta/sta0", "hp", tokenised=True),
    Source("nic", 7, "nic", "nic"),
    Source("cee", 7, "cee", "ce", tokenised=True),
    Source("int", 7, "int", "int"),
    Source("kar", 7, "kar", "kar"),
    Source("pap", 7, "pap/pap0", "pap"),
    Source("ibm", 7, "ibm", "ibm"),
    Source("imp", 7, "imp", "imp"),
    Source("par", 7, "par", "par"),
)


@dataclass
class Report:
    """What became of every segment read: counts by source and reason."""

    kept: Counter[tuple[str, str]] = field(default_factory=Counter)
    rejected: Counter[tuple[str, str]] = field(default_factory=Counter)
    unreadable: list[str] = field(default_factory=list)

    def reject(self, source: str, reason: str) -> None:
        """Count one segment that was left out."""
        self.rejected[source, reason] += 1


@dataclass(frozen=True)
class _Raw:
    """A candidate line before normalisation, in device units.

    `points` holds all strokes and `ends` where each of them ends: many small
    arrays are slow to send between processes.  `runs`, `slope` and `digest`
    are measured where the file is read, so that no core waits for another.
    """

    source: Source
    writer: str
    file: str
    text: str
    kind: str
    points: NDArray[np.float64]
    ends: NDArray[np.int64]
    runs: NDArray[np.float64]
    slope: float
    digest: bytes


def _raw(
    source: Source,
    writer: str,
    path: Path,
    text: str,
    kind: str,
    strokes: list[NDArray[np.float64]],
) -> _Raw:
    points = np.concatenate(strokes)
    return _Raw(
        source,
        writer,
        str(path),
        text,
        kind,
        points,
        np.cumsum([len(s) for s in strokes]),
        vertical_runs(strokes),
        # Shorter ones say too little about the baseline to be asked.
        estimate_slope(strokes) if len(text) >= 4 else 0.0,
        hashlib.sha256(points.tobytes()).digest(),
    )


def find_release(folder: Path) -> Path:
    """The folder holding `data` and `include` at or up to two levels below `folder`.

    Raises
    ------
    ValueError
        If there is none.
    """
    for pattern in ("", "*", "*/*"):
        for candidate in sorted(folder.glob(pattern)) if pattern else [folder]:
            if (candidate / "data").is_dir() and (candidate / "include").is_dir():
                return candidate
    raise ValueError(f"{folder} holds no UNIPEN release: need folders data/ and include/ in it")


def read_lines(
    folder: Path,
    *,
    progress: Callable[[int, int], None] | None = None,
    processes: int | None = None,
) -> tuple[list[Line], Report]:
    """Read the release below `folder` into normalised lines.

    Parameters
    ----------
    folder : Path
        Where the release was unpacked.
    progress : callable, optional
        Called with (files done, files in all).
    processes : int, optional
        Worker processes for parsing; default: one a core, at most 8.

    Returns
    -------
    list of Line, Report
        Ink in x-heights; writers under neutral ids.

    Raises
    ------
    ValueError
        If no release is there, or it holds none of the sources.
    """
    root = find_release(folder)
    jobs = [
        (root, source, path)
        for source in SOURCES
        for path in sorted((root / "data" / str(source.category) / source.folder).rglob("*.dat"))
    ]
    if not jobs:
        raise ValueError(f"{root} holds none of the sources {sorted({s.name for s in SOURCES})}")
    report = Report()
    raws: list[_Raw] = []
    count = processes or min(8, os.cpu_count() or 1)
    with multiprocessing.get_context("spawn").Pool(count) as pool:
        for done, (found, rejected, unreadable) in enumerate(
            pool.imap(_read_job, jobs, chunksize=16), start=1
        ):
            raws += found
            for key in rejected:
                report.reject(*key)
            report.unreadable += unreadable
            if progress:
                progress(done, len(jobs))
        ids = _neutral_ids({r.writer for r in raws})
        lines: list[Line] = []
        for kept, reasons in pool.imap(_normalise, _by_hand(raws, report)):
            for line in kept:
                report.kept[line.source, line.kind] += 1
                lines.append(replace(line, writer=ids[line.writer]))
            for key in reasons:
                report.reject(*key)
    return lines, report


def _read_job(
    job: tuple[Path, Source, Path],
) -> tuple[list[_Raw], list[tuple[str, str]], list[str]]:
    root, source, path = job
    rejected: list[tuple[str, str]] = []
    try:
        return list(_read_file(root, source, path, rejected)), rejected, []
    except UnipenError as error:
        return [], rejected, [str(error)]


def _read_file(
    root: Path, source: Source, path: Path, rejected: list[tuple[str, str]]
) -> Iterator[_Raw]:
    document = parse_file(path, root / "include")
    writer = _writer_key(source, document.facts.get("WRITER_ID", path.stem))
    level = "TEXT" if source.category == 8 else "WORD"
    units: list[Unit] | None = None
    height = 0.0
    if level == "TEXT":
        pooled = [c.xy for c in document.sets[-1] if c.down and not c.blanked]
        height = x_height(vertical_runs(pooled))
    for segment in document.segments:
        if segment.level != level:
            continue
        if segment.quality == "BAD":
            rejected.append((source.name, "quality BAD"))
            continue
        text = clean_label(segment.label, tokenised=source.tokenised)
        try:
            pieces = document.pieces(segment)
        except UnipenError:
            rejected.append((source.name, "blanked or broken"))
            continue
        strokes = [xy for _, xy in pieces]
        rows = [(text, strokes)]
        if level == "TEXT" and is_wrapped(strokes, height):
            if units is None:
                units = _read_units(root, path)
            inside = _units_inside(units, [p for p, _ in pieces], len(strokes[-1]))
            matched = match_units(text, inside)
            if matched is None:
                rejected.append((source.name, "wrapped, no sure boundary"))
                continue
            rows = rows_of_units(matched, height)
            if any(is_wrapped(ink, height) for _, ink in rows):
                rejected.append((source.name, "wrapped, no sure boundary"))
                continue
        for row, ink in rows:
            reason = unusable_label(row, UNIPEN_SYMBOLS, 300 if source.long_lines else 60)
            if reason:
                rejected.append((source.name, reason))
                continue
            kind = "line" if level == "TEXT" and " " in row else "word"
            yield _raw(source, writer, path, row, kind, ink)


def _writer_key(source: Source, writer: str) -> str:
    name = writer.lower().strip()
    if source.family == "ap" and name[-2:] in ("_1", "_2", "_3"):
        name = name[:-2]
    return f"{source.family}:{name}"


def _read_units(root: Path, path: Path) -> list[Unit]:
    """Words (category 7), else characters (3), of the same ink as `path`."""
    relative = path.relative_to(root / "data" / "8")
    for category in ("7", "3"):
        twin = root / "data" / category / relative
        if twin.is_file():
            try:
                document = parse_file(twin, root / "include")
            except UnipenError:
                continue
            units = []
            for segment in document.segments:
                try:
                    pieces = document.pieces(segment)
                except UnipenError:
                    continue
                label = clean_label(segment.label, tokenised=False)
                units.append(Unit(label, [xy for _, xy in pieces], pieces[0][0]))
            if units:
                return units
    return []


def _units_inside(
    units: Sequence[Unit], places: Sequence[tuple[int, int]], length: int
) -> list[Unit]:
    low, (last, start) = places[0], places[-1]
    high = (last, start + length)
    return [u for u in units if low <= u.place < high]


def _by_hand(raws: Iterable[_Raw], report: Report) -> list[list[_Raw]]:
    """Group candidates by source and writer, each ink once.

    Contributors of one family used different tablets, hence by source too.
    """
    seen: set[bytes] = set()
    groups: dict[tuple[str, str], list[_Raw]] = defaultdict(list)
    for raw in raws:
        if raw.digest in seen:
            report.reject(raw.source.name, "duplicate ink")
            continue
        seen.add(raw.digest)
        groups[raw.source.name, raw.writer].append(raw)
    return [members for _, members in sorted(groups.items())]


def _normalise(members: Sequence[_Raw]) -> tuple[list[Line], list[tuple[str, str]]]:
    """Scale one hand by its x-height, resample by its tempo, deskew, filter."""
    source = members[0].source.name
    pooled = np.concatenate([r.runs for r in members])
    height, duration = x_height(pooled), run_duration(pooled)
    if height <= 0 or duration <= 0:
        return [], [(source, "no vertical movement") for _ in members]
    slopes = [r.slope for r in members if len(r.text) >= 4]
    slope = usual_slope(slopes)
    files: dict[str, list[_Raw]] = defaultdict(list)
    for raw in members:
        files[raw.file].append(raw)
    prepared = []
    for group in files.values():
        scale = x_height(np.concatenate([r.runs for r in group])) if len(group) >= 8 else 0.0
        prepared += [_prepare(raw, scale or height, duration, slope) for raw in group]
    density = float(np.median([len(p.ink) / len(p.text) for p in prepared]))
    lines, rejected = [], []
    for line in prepared:
        reason = _unusable_ink(line, density)
        if reason:
            rejected.append((source, reason))
        else:
            lines.append(line)
    return lines, rejected


def _prepare(raw: _Raw, height: float, duration: float, writer_slope: float) -> Line:
    starts = [0, *raw.ends[:-1].tolist()]
    strokes = [raw.points[a:b] for a, b in zip(starts, raw.ends.tolist(), strict=True)]
    return level_line(
        strokes,
        raw.text,
        raw.writer,
        raw.source.name,
        raw.kind,
        slopes=(raw.slope, writer_slope),
        height=height,
        duration=duration,
    )


def _unusable_ink(line: Line, density: float) -> str | None:
    xy = line.ink.points
    height, width = np.ptp(xy[:, 1]), np.ptp(xy[:, 0])
    if not 1 <= height <= 9.5:
        return "height"
    # 1.1 x-heights is the mean advance of a character, blanks included.
    if not 0.35 <= width / (1.1 * len(line.text)) <= 4.5:
        return "width"
    if not 0.45 <= len(line.ink) / len(line.text) / density <= 2.5:
        return "points per character"
    inside = line.ink.offsets[1:][line.ink.offsets[:-1, 2] == 0]
    if len(inside) and np.abs(inside[:, :2]).max() > 4:
        return "jump inside a stroke"
    if len(line.text) >= 12 and abs(estimate_slope(line.ink.strokes)) > MAX_SLOPE:
        return "slope"
    return None


def _neutral_ids(writers: Iterable[str]) -> dict[str, str]:
    """Ids that tell the family but not the name: numbered in order of a hash."""
    order = sorted(writers, key=lambda w: hashlib.sha256(w.encode()).digest())
    count: Counter[str] = Counter()
    ids = {}
    for writer in order:
        family = writer.split(":", 1)[0]
        count[family] += 1
        ids[writer] = f"{family}{count[family]:03d}"
    return ids
