"""A corpus of written lines: one file, split by writer, drawn in batches by length."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from handtraj.ink import Ink, replace_file
from handtraj.sources.line import Line

__all__ = ["SPLITS", "Corpus", "build_corpus", "load_corpus", "save_corpus"]

#: Offsets are stored in this fraction of an x-height, about a device unit.
QUANTUM = 1 / 160
#: Marks an offset too long for eight bits; it stands in the table of long ones.
_LONG = -128
#: The parts of a corpus.  "text" holds texts of training writers that no
#: training line shares; "validation" and "test" hold writers of their own.
SPLITS = ("train", "text", "validation", "test")
VERSION = 1


@dataclass(frozen=True, eq=False)
class Corpus:
    """Lines in x-heights, six points a vertical run, deskewed.

    Parameters
    ----------
    small : array, shape (points, 2), int8
        Offsets in units of QUANTUM; -128 marks a long one.
    long_at, long : arrays, shapes (L,) and (L, 2), int32 and int16
        Where the long offsets stand, in order, and their values.
    lifts : array, shape (ceil(points / 8),), uint8
        Pen lifts, one bit a point.
    start : array, shape (lines + 1,), int64
        First point of every line.
    texts, writers, sources, kinds, splits : tuple of str
        One entry a line.
    noise : array, shape (lines,), float32
        Half a device unit in x-heights.
    about : dict
        Provenance: origin, licence, version, report.
    """

    small: NDArray[np.int8]
    long_at: NDArray[np.int32]
    long: NDArray[np.int16]
    lifts: NDArray[np.uint8]
    start: NDArray[np.int64]
    texts: tuple[str, ...]
    writers: tuple[str, ...]
    sources: tuple[str, ...]
    kinds: tuple[str, ...]
    splits: tuple[str, ...]
    noise: NDArray[np.float32]
    about: dict[str, Any]

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Points of every line."""
        return np.diff(self.start)

    def offsets(self, index: int) -> NDArray[np.float32]:
        """Offsets (T, 3) of line `index`, in x-heights."""
        low, high = int(self.start[index]), int(self.start[index + 1])
        out = np.empty((high - low, 3), dtype=np.float32)
        out[:, :2] = self.small[low:high]
        first, last = np.searchsorted(self.long_at, [low, high])
        out[self.long_at[first:last] - low, :2] = self.long[first:last]
        out[:, :2] *= QUANTUM
        bits = np.unpackbits(self.lifts[low // 8 : (high + 7) // 8], bitorder="little")
        out[:, 2] = bits[low % 8 : low % 8 + high - low]
        return out

    def line(self, index: int) -> Line:
        """Line `index` as the record the sources yield."""
        return Line(
            Ink(self.offsets(index)),
            self.texts[index],
            self.writers[index],
            self.sources[index],
            self.kinds[index],
            float(self.noise[index]),
        )

    def select(
        self,
        split: str | Sequence[str] = SPLITS,
        *,
        kind: str | None = None,
        writer: str | None = None,
    ) -> NDArray[np.int64]:
        """Indices of the lines of a split (or several), of a kind, of a writer.

        Raises
        ------
        ValueError
            If a split does not exist.
        """
        wanted = (split,) if isinstance(split, str) else tuple(split)
        for name in wanted:
            if name not in SPLITS:
                raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {name!r}")
        return np.array(
            [
                i
                for i in range(len(self))
                if self.splits[i] in wanted
                and (kind is None or self.kinds[i] == kind)
                and (writer is None or self.writers[i] == writer)
            ],
            dtype=np.int64,
        )

    def report(self) -> list[dict[str, Any]]:
        """One row a source and kind: lines, writers, characters, points, distinct texts."""
        groups: dict[tuple[str, str], list[int]] = defaultdict(list)
        for i, key in enumerate(zip(self.sources, self.kinds, strict=True)):
            groups[key].append(i)
        lengths = self.lengths
        return [
            {
                "source": source,
                "kind": kind,
                "lines": len(members),
                "writers": len({self.writers[i] for i in members}),
                "characters": sum(len(self.texts[i]) for i in members),
                "points": int(lengths[members].sum()),
                "distinct_texts": len({self.texts[i] for i in members}),
            }
            for (source, kind), members in sorted(groups.items())
        ]


def split_of(writer: str, text: str, kind: str, ranks: dict[str, int]) -> str:
    """The part a line belongs to: by writer first, then by text.

    One writer in ten of every family goes to test, one in twenty to
    validation; of the other writers' lines (not words), texts are held out by
    a hash, one in fifty.
    """
    rank = ranks[writer] % 20
    if rank in (1, 11):
        return "test"
    if rank == 6:
        return "validation"
    digest = hashlib.sha256(text.encode()).digest()
    return "text" if kind == "line" and digest[0] < 5 else "train"


def build_corpus(lines: Iterable[Line], *, about: dict[str, Any] | None = None) -> Corpus:
    """Pack lines into a corpus and split them.

    Raises
    ------
    ValueError
        If there is no line.
    """
    lines = list(lines)
    if not lines:
        raise ValueError("a corpus needs at least one line, got none")
    families: dict[str, set[str]] = defaultdict(set)
    for line in lines:
        families[line.writer.rstrip("0123456789")].add(line.writer)
    ranks = {w: r for members in families.values() for r, w in enumerate(sorted(members))}
    steps, lifts = [], []
    for line in lines:
        # Rounding positions, not offsets, keeps errors from adding up.
        grid = np.rint(line.ink.points / QUANTUM).astype(np.int64)
        step = np.diff(grid, axis=0, prepend=grid[:1])
        steps.append(np.clip(step, -32768, 32767))
        lifts.append(line.ink.offsets[:, 2] > 0)
    every = np.concatenate(steps)
    is_long = (np.abs(every) > 127).any(axis=1)
    small = every.astype(np.int8)
    small[is_long] = _LONG
    return Corpus(
        small=small,
        long_at=np.flatnonzero(is_long).astype(np.int32),
        long=every[is_long].astype(np.int16),
        lifts=np.packbits(np.concatenate(lifts), bitorder="little"),
        start=np.concatenate([[0], np.cumsum([len(s) for s in steps])]).astype(np.int64),
        texts=tuple(line.text for line in lines),
        writers=tuple(line.writer for line in lines),
        sources=tuple(line.source for line in lines),
        kinds=tuple(line.kind for line in lines),
        splits=tuple(split_of(line.writer, line.text, line.kind, ranks) for line in lines),
        noise=np.array([line.noise for line in lines], dtype=np.float32),
        about={"version": VERSION, "quantum": QUANTUM, **(about or {})},
    )


_ARRAYS = ("small", "long_at", "long", "lifts", "start", "noise")
_TABLE = ("texts", "writers", "sources", "kinds", "splits")


def save_corpus(corpus: Corpus, path: str | os.PathLike[str]) -> None:
    """Write one npz file, uncompressed so that it can be memory-mapped."""
    table = {name: getattr(corpus, name) for name in _TABLE}
    text = json.dumps({"about": corpus.about, **table}, ensure_ascii=False)
    arrays = {name: np.asarray(getattr(corpus, name)) for name in _ARRAYS}
    arrays["table"] = np.frombuffer(text.encode(), dtype=np.uint8)
    replace_file(path, lambda stream: np.savez(stream, **arrays))  # type: ignore[arg-type]


def load_corpus(path: str | os.PathLike[str]) -> Corpus:
    """Map a corpus file into memory.

    Raises
    ------
    ValueError
        If the file is missing, cut short, or no corpus.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = {i.filename.removesuffix(".npy"): i for i in archive.infolist()}
            arrays: dict[str, Any] = {
                name: _map_member(path, members[name]) for name in (*_ARRAYS, "table")
            }
            table = json.loads(bytes(arrays.pop("table")).decode())
        about = table.pop("about")
        version = about["version"]
        columns: dict[str, Any] = {name: tuple(table[name]) for name in _TABLE}
        corpus = Corpus(**arrays, **columns, about=about)
        whole = all(len(getattr(corpus, n)) == len(corpus) for n in (*_TABLE, "noise")) and (
            len(corpus.start) == len(corpus) + 1 and corpus.start[-1] == len(corpus.small)
        )
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist; make it with `handtraj data`") from None
    except (zipfile.BadZipFile, KeyError, TypeError, OSError, ValueError) as error:
        raise ValueError(f"{path} is not a corpus file, or is cut short: {error}") from None
    if version != VERSION:
        raise ValueError(f"{path}: corpus version {version}, this reads {VERSION}")
    if not whole:
        raise ValueError(f"{path} is damaged: its tables differ in length")
    return corpus


def _map_member(path: Path, info: zipfile.ZipInfo) -> NDArray[Any]:
    """Memory-map one stored member of an npz file."""
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{path}: member {info.filename} is compressed; make the corpus anew")
    with path.open("rb") as stream:
        # The local header's own name and extra lengths, not the directory's.
        stream.seek(info.header_offset + 26)
        name, extra = (int.from_bytes(stream.read(2), "little") for _ in range(2))
        stream.seek(info.header_offset + 30 + name + extra)
        version = npy_format.read_magic(stream)
        read = (
            npy_format.read_array_header_1_0
            if version == (1, 0)
            else npy_format.read_array_header_2_0
        )
        shape, fortran, dtype = read(stream)
        if dtype.hasobject:
            raise ValueError(f"{path}: member {info.filename} holds objects")
        if 0 in shape:
            return np.empty(shape, dtype)
        return np.memmap(path, dtype, "r", stream.tell(), shape, "F" if fortran else "C")
