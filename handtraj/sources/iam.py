"""IAM-OnDB: lines of the English whiteboard database, for those who hold it.

Liwicki and Bunke (2005), *IAM-OnDB, an on-line English sentence database
acquired from handwritten text on a whiteboard*, ICDAR.  Free for research
after registration; it may not be passed on, so nothing here downloads it.
Lines that went wrong are found by rules, stated beside each threshold.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handtraj.alphabet import Alphabet
from handtraj.corpus import SPLITS, Corpus, build_corpus, split_of
from handtraj.ink import MAX_SLOPE
from handtraj.sources.iam_format import (
    Parts,
    even_in_time,
    find_parts,
    read_line_strokes,
    read_splits,
    read_transcript,
    read_writers,
    sample_time,
)
from handtraj.sources.line import SHOWS_SLOPE, Line, level_line, usual_slope
from handtraj.sources.unipen import Report
from handtraj.strokes import (
    estimate_slope,
    run_duration,
    vertical_runs,
    x_height,
)

__all__ = ["even_in_time", "iam_corpus", "read_iam", "read_line_strokes"]

_SOURCE = "iam"
Progress = Callable[[int, int], None]

#: A transcript longer than this is more than one written line.
MAX_TEXT = 150
#: Seconds a time may lie before the one in front of it: times are rounded to
#: hundredths, and a sample takes a few of them.  More is a broken recording.
BACKWARDS = 0.05
#: x-heights between two samples of one stroke.  A fast pen moves one in a
#: sample; more than four are a wrong position or lost samples.
MAX_JUMP = 4.0
#: x-heights a line is high.  Without ascenders it has one; with both kinds of
#: long letters four.  Beyond nine there are two lines or a stray stroke.
HEIGHT = (1.0, 9.5)
#: x-heights of width a character, 1.1 being the mean of many hands: a third of
#: it or four times as much is no writing, whatever the hand.
WIDTH = (0.35 * 1.1, 4.5 * 1.1)
#: Width and points a character, by the median of the writer's lines (of all
#: lines, where a writer has fewer than four).  A hand keeps both nearly
#: constant; about half or double means that words of the transcript were not
#: recorded, or that others were.
WIDTH_RATIO = (0.5, 2.0)
POINTS_RATIO = (0.45, 2.5)


@dataclass(frozen=True)
class _Raw:
    """One line before normalisation: strokes (n, 3) with y up and seconds."""

    form: str
    writer: str
    text: str
    strokes: list[NDArray[np.float64]]


def read_iam(
    place: str | os.PathLike[str], *, progress: Progress | None = None
) -> tuple[list[Line], Report]:
    """Read IAM-OnDB into normalised lines.

    Parameters
    ----------
    place : path
        A folder with `lineStrokes`, `ascii`, and `original` or `forms.txt` in
        it, or with the archives of the official site, or one archive of all.
    progress : callable, optional
        Called with (forms done, forms in all).

    Returns
    -------
    list of Line, Report
        Ink in x-heights, six points a vertical run, level; writers as
        "iam001", "iam002", …; and what was left out, by reason.

    Raises
    ------
    ValueError
        If a part of the database is missing (with where to get it), an
        archive is damaged or points outside its folder, or no line remains.
    """
    with tempfile.TemporaryDirectory(prefix="handtraj-iam-") as scratch:
        found, report = _read(find_parts(Path(place), Path(scratch)), progress)
    return [line for line, _ in found], report


def iam_corpus(place: str | os.PathLike[str], *, progress: Progress | None = None) -> Corpus:
    """IAM-OnDB as a corpus, split as the task IAM-OnDB-t1 splits it.

    With the four lists beside the data, `trainset.txt` is "train" and "text"
    (held-out texts of training writers, by the hash every corpus uses; both
    together are the official training set), `testset_v.txt` and
    `testset_t.txt` are "validation", `testset_f.txt` is "test"; forms in no
    list are left out.  Without lists the corpus is split by writer as any
    other.  Either way a writer is in training, validation or test only: lines
    of a writer whom the lists put in two of them stay in the one furthest from
    training, the others are left out, and `about["split_conflicts"]` counts
    them by writer.

    Parameters
    ----------
    place, progress
        As for :func:`read_iam`.

    Returns
    -------
    Corpus
        `about` has the split, what was left out and the conflicts.

    Raises
    ------
    ValueError
        As :func:`read_iam`, or if only some of the lists are there, one form
        stands in two parts, or no line is in any list.
    """
    with tempfile.TemporaryDirectory(prefix="handtraj-iam-") as scratch:
        parts = find_parts(Path(place), Path(scratch))
        # The lists first: a wrong one should not cost the minutes of reading.
        splits = read_splits(parts)
        found, report = _read(parts, progress)
    conflicts: dict[str, int] = {}
    listed = [(line, "") for line, _ in found]
    if splits is not None:
        listed, conflicts = _official(found, splits, report)
        if not listed:
            raise ValueError(f"{place}: the lists of IAM-OnDB-t1 name none of its usable forms")
    about = {
        "name": "IAM-OnDB",
        "licence": "research only, after registration; not to be passed on",
        "cite": "Liwicki and Bunke 2005, ICDAR",
        "split": "by writer" if splits is None else "IAM-OnDB-t1",
        "split_conflicts": conflicts,
        "rejected": {f"{s}: {why}": n for (s, why), n in sorted(report.rejected.items())},
        "unreadable_files": len(report.unreadable),
    }
    corpus = build_corpus([line for line, _ in listed], about=about)
    if splits is None:
        return corpus
    return replace(corpus, splits=tuple(part for _, part in listed))


def _official(
    found: Sequence[tuple[Line, str]], splits: dict[str, str], report: Report
) -> tuple[list[tuple[Line, str]], dict[str, int]]:
    """Lines with their official part, every writer on one side only."""
    placed = []
    side: dict[str, int] = {}
    for line, form in found:
        part = splits.get(form, splits.get(_base(form), ""))
        if part:
            placed.append((line, part))
            side[line.writer] = max(side.get(line.writer, 0), SPLITS.index(part))
        else:
            _drop(report, line, "in no list of IAM-OnDB-t1")
    kept = []
    conflicts: dict[str, int] = defaultdict(int)
    for line, part in placed:
        if SPLITS.index(part) < side[line.writer]:
            conflicts[line.writer] += 1
            _drop(report, line, "writer in two parts of IAM-OnDB-t1")
            continue
        if part == "train":
            # Rank 0 is a training writer: what remains is the split by text.
            part = split_of(line.writer, line.text, line.kind, {line.writer: 0})
        kept.append((line, part))
    return kept, dict(sorted(conflicts.items()))


def _drop(report: Report, line: Line, reason: str) -> None:
    report.kept[line.source, line.kind] -= 1
    report.reject(line.source, reason)


def _base(form: str) -> str:
    return re.sub(r"[a-z]*$", "", form)


def _read(parts: Parts, progress: Progress | None) -> tuple[list[tuple[Line, str]], Report]:
    """All usable lines, each with its form."""
    report = Report()
    forms: dict[str, list[tuple[int, Path]]] = defaultdict(list)
    for path in sorted(parts.strokes.rglob("*.xml")):
        form, _, number = path.stem.rpartition("-")
        if form and number.isdecimal():
            forms[form].append((int(number), path))
    transcripts = {path.stem: path for path in parts.ascii.rglob("*.txt")}
    writers = read_writers(parts)
    raws: list[_Raw] = []
    for done, (form, numbered) in enumerate(sorted(forms.items()), start=1):
        if form not in writers:
            report.rejected[_SOURCE, "writer not known"] += len(numbered)
        elif form not in transcripts:
            report.rejected[_SOURCE, "no transcript"] += len(numbered)
        else:
            raws += _read_form(form, writers[form], sorted(numbered), transcripts[form], report)
        if progress:
            progress(done, len(forms))
    found = _filter(_normalise(_once(raws, report), report), report)
    if not found:
        why = ", ".join(f"{n} {reason}" for (_, reason), n in report.rejected.most_common(3))
        raise ValueError(f"{parts.strokes} has no usable line ({why or 'no files of lines in it'})")
    ids = _neutral_ids(line.writer for line, _ in found)
    for line, _ in found:
        report.kept[line.source, line.kind] += 1
    return [(replace(line, writer=ids[line.writer]), form) for line, form in found], report


def _read_form(
    form: str, writer: str, numbered: Sequence[tuple[int, Path]], transcript: Path, report: Report
) -> list[_Raw]:
    """Lines of one form with their texts, or none if they cannot be told apart."""
    try:
        texts = read_transcript(transcript)
    except ValueError as error:
        report.unreadable.append(str(error))
        report.rejected[_SOURCE, "transcript not readable"] += len(numbered)
        return []
    # A line that was lost or cut in two shifts all texts after it.
    if [number for number, _ in numbered] != list(range(1, len(texts) + 1)):
        report.rejected[_SOURCE, "lines and transcript differ in number"] += len(numbered)
        return []
    raws = []
    for text, (_, path) in zip(texts, numbered, strict=True):
        if Alphabet().unknown(text):
            report.reject(_SOURCE, "symbol outside the alphabet")
        elif len(text) > MAX_TEXT:
            report.reject(_SOURCE, "text too long")
        else:
            try:
                strokes = read_line_strokes(path)
            except ValueError as error:
                report.unreadable.append(str(error))
                report.reject(_SOURCE, "ink not readable")
                continue
            times = np.concatenate([s[:, 2] for s in strokes])
            if (np.diff(times) < -BACKWARDS).any():
                report.reject(_SOURCE, "time runs backwards")
            else:
                raws.append(_Raw(form, writer, text, strokes))
    return raws


def _once(raws: Iterable[_Raw], report: Report) -> list[_Raw]:
    seen: set[bytes] = set()
    kept = []
    for raw in raws:
        digest = hashlib.sha256(np.concatenate(raw.strokes)[:, :2].tobytes()).digest()
        if digest in seen:
            report.reject(_SOURCE, "duplicate ink")
        else:
            seen.add(digest)
            kept.append(raw)
    return kept


def _normalise(raws: Sequence[_Raw], report: Report) -> list[tuple[Line, str]]:
    """Scale by the x-height of the form, resample by its tempo, take the slope out.

    A form is one hand in one sitting, and has more runs to measure than a line.
    """
    forms: dict[str, list[_Raw]] = defaultdict(list)
    for raw in raws:
        forms[raw.form].append(raw)
    found = []
    for form, members in forms.items():
        step = sample_time([s for raw in members for s in raw.strokes]) / 4
        inks = [even_in_time(raw.strokes, step) for raw in members]
        runs = np.concatenate([vertical_runs(ink) for ink in inks])
        height, duration = x_height(runs), run_duration(runs)
        if height <= 0 or duration <= 0:
            report.rejected[_SOURCE, "no vertical movement"] += len(members)
            continue
        slopes = [estimate_slope(ink) for ink in inks]
        usual = usual_slope(slopes)
        for raw, ink, slope in zip(members, inks, slopes, strict=True):
            jump = max(np.hypot(*np.diff(s[:, :2], axis=0).T).max(initial=0.0) for s in raw.strokes)
            if jump > MAX_JUMP * height:
                report.reject(_SOURCE, "jump inside a stroke")
                continue
            line = level_line(
                ink,
                raw.text,
                raw.writer,
                _SOURCE,
                "line" if " " in raw.text else "word",
                slopes=(slope, usual),
                height=height,
                duration=duration,
            )
            found.append((line, form))
    return found


def _filter(found: Sequence[tuple[Line, str]], report: Report) -> list[tuple[Line, str]]:
    """Leave out lines whose ink does not fit their text."""
    by_writer: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for line, _ in found:
        by_writer[line.writer].append(_per_character(line))
    every = [pair for pairs in by_writer.values() for pair in pairs]
    # The median of three lines is no yardstick; that of all writers is one.
    usual = {
        writer: np.median(pairs if len(pairs) >= 4 else every, axis=0)
        for writer, pairs in by_writer.items()
    }
    kept = []
    for line, form in found:
        reason = _unusable_ink(line, usual[line.writer])
        if reason:
            report.reject(_SOURCE, reason)
        else:
            kept.append((line, form))
    return kept


def _per_character(line: Line) -> tuple[float, float]:
    """Width in x-heights, and points, a character."""
    return float(np.ptp(line.ink.points[:, 0])) / len(line.text), len(line.ink) / len(line.text)


def _unusable_ink(line: Line, usual: NDArray[np.float64]) -> str | None:
    width, points = _per_character(line)
    if not HEIGHT[0] <= np.ptp(line.ink.points[:, 1]) <= HEIGHT[1]:
        return "height"
    if not WIDTH[0] <= width <= WIDTH[1]:
        return "width per character"
    if not WIDTH_RATIO[0] * usual[0] <= width <= WIDTH_RATIO[1] * usual[0]:
        return "width per character"
    if not POINTS_RATIO[0] * usual[1] <= points <= POINTS_RATIO[1] * usual[1]:
        return "points per character"
    # A slope that is left after deskewing: the line was bent.
    if len(line.text) >= SHOWS_SLOPE and abs(estimate_slope(line.ink.strokes)) > MAX_SLOPE:
        return "slope"
    return None


def _neutral_ids(writers: Iterable[str]) -> dict[str, str]:
    """Ids that tell nothing of the database's own: numbered in order of a hash."""
    order = sorted(set(writers), key=lambda w: hashlib.sha256(w.encode()).digest())
    return {writer: f"iam{number:03d}" for number, writer in enumerate(order, start=1)}
