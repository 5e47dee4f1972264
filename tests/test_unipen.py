"""The UNIPEN sources: a tiny release of our own, and the real one in numbers."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from handtraj.alphabet import UNIPEN_SYMBOLS
from handtraj.sources.unipen import find_release, read_lines
from handtraj.strokes import run_duration, vertical_runs, x_height

#: Lines, writers, characters by a study of the release with another parser.
#: Only sources that need no splitting, where both should take the same ink.
STUDIED = {
    ("lex", "line"): (1864, 13, 42176),
    ("aga", "line"): (605, 14, 20606),
    ("hpb5", "line"): (193, 7, 7021),
    ("hpb2", "line"): (2022, 14, 30411),
    ("hpb1", "line"): (156, 29, 4214),
    ("hpb0", "word"): (14160, 32, 73675),
    ("nic", "word"): (6070, 11, 43698),
    ("cee", "word"): (3931, 29, 30208),
}


def teeth(x, count, height, samples):
    """Zigzag strokes of integer positions, as UNIPEN rows."""
    rows = []
    for run in range(count):
        for k in range(samples):
            part = k / samples if run % 2 == 0 else 1 - k / samples
            # One tooth is an ascender: letters are not all one x-height high.
            tall = 1.7 if run in (2, 3) else 1.0
            at = x + (run * samples + k) * height // (3 * samples)
            rows.append(f"{at} {round(tall * height * part)}")
    return "\n".join(rows)


def write_release(root, *, writers=2, words=10):
    """A release with one source of words; each writer has a tempo and a size."""
    for number in range(writers):
        height, samples = 100 * (number + 1), 8 * (number + 1)
        ink = f".WRITER_ID Person_{number}\n.COORD X Y\n"
        segments = f".INCLUDE kar/w{number}.dat\n"
        for k in range(words):
            ink += f".PEN_DOWN\n{teeth(5000 * k, 12 + k % 3, height, samples)}\n.PEN_UP\n"
            quality = "BAD" if k == 0 else "?"
            segments += f'.SEGMENT WORD {k} {quality} "tide{k}"\n'
        # The same ink a second time.
        segments += '.SEGMENT WORD 1 ? "again"\n'
        (root / "data" / "7" / "kar").mkdir(parents=True, exist_ok=True)
        (root / "include" / "kar").mkdir(parents=True, exist_ok=True)
        (root / "data" / "7" / "kar" / f"w{number}.dat").write_text(segments)
        (root / "include" / "kar" / f"w{number}.dat").write_text(ink)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The tiny release, read."""
    folder = tmp_path_factory.mktemp("tiny")
    write_release(folder / "train")
    (folder / "train" / "data" / "7" / "kar" / "junk.dat").write_text("no statements\n")
    calls = []
    found = read_lines(folder, progress=lambda *a: calls.append(a), processes=1)
    assert calls[-1] == (3, 3)
    return found


def test_tiny_release_gives_every_good_word_once(tiny):
    """BAD ones and repeated ink are counted, junk is named."""
    lines, report = tiny
    expected = Counter({f"tide{k}": 2 for k in range(1, 10)})
    assert Counter(line.text for line in lines) == expected
    assert report.rejected == {("kar", "quality BAD"): 2, ("kar", "duplicate ink"): 2}
    assert report.kept == {("kar", "word"): 18}
    assert len(report.unreadable) == 1


def test_tiny_release_comes_in_x_heights_and_six_points_a_run(tiny):
    """Size and tempo of the writers are gone, and noise is half a unit."""
    lines, _ = tiny
    for line in lines:
        runs = vertical_runs(line.ink.strokes)
        assert x_height(runs) == pytest.approx(1, rel=0.1)
        assert run_duration(runs) == pytest.approx(6, abs=1)
        assert 1 / 240 < line.noise < 1 / 160 or 1 / 480 < line.noise < 1 / 320


def test_writers_are_neutral(tiny):
    """Ids tell the source family and nothing of the name."""
    assert {line.writer for line in tiny[0]} == {"kar001", "kar002"}


def test_a_folder_without_a_release_is_refused(tmp_path):
    """No data and include, and none of the sources in them."""
    with pytest.raises(ValueError, match="no UNIPEN release"):
        find_release(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "include").mkdir()
    with pytest.raises(ValueError, match="none of the sources"):
        read_lines(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("key", STUDIED, ids="-".join)
def test_real_source_has_the_lines_writers_and_characters_of_the_study(unipen_lines, key):
    """Within five per cent of the numbers from another parser."""
    mine = [line for line in unipen_lines[0] if (line.source, line.kind) == key]
    have = len(mine), len({line.writer for line in mine}), sum(len(line.text) for line in mine)
    assert have == pytest.approx(STUDIED[key], rel=0.05)


@pytest.mark.slow
def test_real_lines_are_clean(unipen_lines):
    """Symbols, sizes, and no ink twice; every file could be read."""
    lines, report = unipen_lines
    assert not report.unreadable
    assert set("".join(line.text for line in lines)) <= set(UNIPEN_SYMBOLS)
    assert len({line.ink.offsets.tobytes() for line in lines}) > 0.999 * len(lines)
    density = np.array([len(line.ink) / len(line.text) for line in lines if line.kind == "line"])
    assert 13 < np.median(density) < 23
    heights = [x_height(vertical_runs(line.ink.strokes)) for line in lines[::50]]
    assert np.median(heights) == pytest.approx(1, abs=0.1)


@pytest.mark.slow
def test_real_writers_show_no_names(unipen_lines):
    """A family's letters and three digits, several hundred of them."""
    writers = {line.writer for line in unipen_lines[0]}
    assert all(w.rstrip("0123456789") + w[-3:] == w for w in writers)
    # The study has 391 with two sources that are left out here, of 40 and 3 writers.
    assert len(writers) == pytest.approx(391 - 43, rel=0.05)
