"""IAM-OnDB: a small database of our own in the official layout, and broken ones."""

from __future__ import annotations

import io
import shutil
import tarfile

import numpy as np
import pytest

from handtraj.sources.iam import even_in_time, iam_corpus, read_iam, read_line_strokes
from handtraj.strokes import run_duration, vertical_runs, x_height

#: Form to writer; one writer fills two forms.
FORMS = {"a01-000u": "10001", "a01-001z": "10002", "a02-000": "10003", "b01-010a": "10004"}
FORMS |= {"b01-010b": "10001", "c01-100w": "10005"}
TEXTS = ["the tide came in", "and then it left", "sea salt on sand"]
LISTS = {
    "trainset.txt": "a01-000u\nb01-010b\n",
    "testset_v.txt": "a01-001z\n",
    "testset_t.txt": "a02-000\n",
    "testset_f.txt": "b01-010\n",
}
BOMB = '<!DOCTYPE z [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>'


def zigzag(text, *, size=60, samples=5, tick=0.02, shift=0, runs_each=2):
    """Points x, y (down), time: two runs a character, 1.1 run heights of width each."""
    runs = runs_each * len(text)
    count = np.arange(runs * samples + 1)
    phase = count / samples
    height = size * np.abs((phase + 1) % 2 - 1)
    height[samples * 2 : samples * 4] *= 1.7
    x = 1000 + count * 1.1 * size * len(text) / (runs * samples)
    return [np.column_stack([x, 2000 + shift - height, 500.0 + tick * count])]


def ink_xml(strokes, head=""):
    """The document of one line."""
    body = "".join(
        '<Stroke colour="black" start_time="0" end_time="1">'
        + "".join(f'<Point x="{x:.3f}" y="{y:.3f}" time="{t:.3f}"/>' for x, y, t in stroke)
        + "</Stroke>"
        for stroke in strokes
    )
    return (
        f'<?xml version="1.0" encoding="ISO-8859-1"?>{head}<WhiteboardCaptureSession>'
        '<WhiteboardDescription><SensorLocation corner="top_left"/></WhiteboardDescription>'
        f"<StrokeSet>{body}</StrokeSet></WhiteboardCaptureSession>"
    )


def place(root, kind, form):
    """The folder of a form below one of the three parts."""
    base = form.rstrip("abcdefghijklmnopqrstuvwxyz")
    folder = root / kind / form[:3] / base
    folder.mkdir(parents=True, exist_ok=True)
    return folder, form.removeprefix(base)


def write_line(root, form, number, strokes, head=""):
    """One file below lineStrokes."""
    folder, _ = place(root, "lineStrokes", form)
    (folder / f"{form}-{number:02d}.xml").write_text(ink_xml(strokes, head), encoding="latin-1")


def write_texts(root, form, lines):
    """One file below ascii, its OCR part telling something else."""
    folder, _ = place(root, "ascii", form)
    text = "OCR:\n\nwhat was asked for\n\nCSR:\n\n" + "\n".join(lines) + "\n"
    (folder / f"{form}.txt").write_text(text)


def write_database(root, *, lists=True):
    """Six forms of three lines by five writers, each form with its size and tempo."""
    for index, (form, writer) in enumerate(FORMS.items()):
        write_texts(root, form, TEXTS)
        folder, letter = place(root, "original", form)
        (folder / f"strokes{letter}.xml").write_text(
            f'<WhiteboardCaptureSession><General><Form id="x" writerID="{writer}"/></General>'
            "<StrokeSet/></WhiteboardCaptureSession>"
        )
        for number, text in enumerate(TEXTS, start=1):
            ink = zigzag(text, size=50 + 10 * index, samples=4 + index, shift=200 * number)
            write_line(root, form, number, ink)
    if lists:
        for name, text in LISTS.items():
            (root / name).write_text(text)
    return root


@pytest.fixture
def database(tmp_path):
    """The whole small database."""
    return write_database(tmp_path / "iam")


def reasons(report):
    """Counts by reason, and what is kept."""
    return {why: n for (_, why), n in report.rejected.items()}


def test_lines_come_in_x_heights_six_points_a_run_with_their_texts(database):
    """Every form had another size and tempo; 16 characters are 32 runs of six points."""
    calls = []
    lines, report = read_iam(database, progress=lambda *a: calls.append(a))
    assert calls == [(k, 6) for k in range(1, 7)]
    assert [line.text for line in lines] == TEXTS * 6
    assert report.kept == {("iam", "line"): 18}
    assert not report.rejected
    for line in lines:
        assert len(line.ink) == 16 * 2 * 6 + 1
        assert np.ptp(line.ink.points[:, 0]) == pytest.approx(16 * 1.1, rel=0.05)
        # Upwards at first: the file has y down, ink has y up.
        assert line.ink.points[6, 1] == pytest.approx(1, abs=0.1)
        runs = vertical_runs(line.ink.strokes)
        assert x_height(runs) == pytest.approx(1, rel=0.1)
        assert run_duration(runs) == pytest.approx(6, abs=0.5)
    assert {round(0.5 / line.noise) for line in lines} == {50, 60, 70, 80, 90, 100}


def test_writers_are_neutral_and_one_hand_is_one_writer(database):
    """Two forms of one writer have one id, which tells nothing of the database's."""
    lines, _ = read_iam(database)
    order = [lines[3 * k].writer for k in range(6)]
    assert sorted(set(order)) == [f"iam00{k}" for k in range(1, 6)]
    assert order[0] == order[4]


def test_official_split_by_exact_form_and_by_form_without_letter(database):
    """`b01-010` in the test list means b01-010a; b01-010b stands in the training list."""
    (database / "trainset.txt").write_text("a01-000u\nc01-100w\n")
    (database / "testset_t.txt").write_text("a02-000\nb01-010b\n")
    # The second validation form of writer 10001 is further from training.
    corpus = iam_corpus(database)
    ids = {line.writer for line in read_iam(database)[0][:3]}
    assert corpus.about["split"] == "IAM-OnDB-t1"
    assert corpus.about["split_conflicts"] == dict.fromkeys(ids, 3)
    assert corpus.about["rejected"] == {"iam: writer in two parts of IAM-OnDB-t1": 3}
    # a01-001z, a02-000 and b01-010b validate; b01-010a tests; c01-100w trains.
    assert [len(corpus.select(s)) for s in (("train", "text"), "validation", "test")] == [3, 9, 3]
    held = {corpus.writers[i] for i in corpus.select(("validation", "test"))}
    assert not held & {corpus.writers[i] for i in corpus.select(("train", "text"))}


def test_forms_in_no_list_are_left_out_and_without_lists_the_split_is_by_writer(database):
    """c01-100w is in none; the usual split keeps it."""
    corpus = iam_corpus(database)
    assert len(corpus) == 15
    assert corpus.about["rejected"] == {"iam: in no list of IAM-OnDB-t1": 3}
    for name in LISTS:
        (database / name).unlink()
    corpus = iam_corpus(database)
    assert (len(corpus), corpus.about["split"]) == (18, "by writer")


def test_broken_lists_are_refused(database):
    """One missing, and one form in two parts."""
    (database / "testset_f.txt").write_text("a01-001z\n")
    with pytest.raises(ValueError, match=r"form a01-001z stands in testset_f\.txt"):
        iam_corpus(database)
    (database / "testset_f.txt").unlink()
    with pytest.raises(ValueError, match=r"download testset_f\.txt from https"):
        iam_corpus(database)


def test_every_rule_finds_its_line(database):
    """One line of each kind goes wrong; each is counted under its reason."""
    good = zigzag(TEXTS[0])
    back, jump, wide, bent, low = (zigzag(TEXTS[0])[0] for _ in range(5))
    back[40:, 2] -= 0.2
    jump[40, 0] += 400
    wide[:, 0] *= 2.5
    bent[:, 1] += 0.35 * bent[:, 0]
    low[80:, 1] += 700
    broken = [
        ("time runs backwards", [back]),
        ("jump inside a stroke", [jump]),
        ("points per character", zigzag(TEXTS[0], runs_each=6)),
        ("width per character", [wide]),
        ("slope", [bent]),
        ("height", [low[:80], low[80:]]),
        ("ink not readable", [np.empty((0, 3))]),
    ]
    for n, (_, strokes) in enumerate(broken, start=1):
        write_line(database, "d01-000", n, strokes)
    for n in range(8, 15):
        write_line(database, "d01-000", n, zigzag(TEXTS[0], shift=300 * n))
    write_line(database, "d01-000", 15, good)
    write_line(database, "d01-000", 16, good)
    write_line(database, "d01-000", 17, good, BOMB)
    write_line(database, "d01-000", 18, zigzag("x" * 16, shift=9))
    write_texts(database, "d01-000", [*[TEXTS[0]] * 17, "sixteen [symbol]"])
    (database / "forms.txt").write_text("# form writer\nd01-000 10009\n")
    lines, report = read_iam(database)
    expected = {why: 1 for why, _ in broken}
    expected |= {"symbol outside the alphabet": 1, "duplicate ink": 1}
    # The entity bomb and the stroke without points both cannot be read.
    assert reasons(report) == expected | {"ink not readable": 2}
    assert len(lines) == 18 + 8
    assert [("entities" in u, "no strokes" in u) for u in report.unreadable] == [
        (False, True),
        (True, False),
    ]


def test_forms_that_cannot_be_told_apart_are_left_out_whole(database):
    """Other line counts, no CSR part, no transcript, a gap, no writer: three lines each."""
    write_texts(database, "a01-000u", TEXTS[:2])
    ascii_ = database / "ascii"
    (ascii_ / "a01" / "a01-001" / "a01-001z.txt").write_text("OCR:\n\nonly asked for\n")
    (ascii_ / "a02" / "a02-000" / "a02-000.txt").unlink()
    strokes = database / "lineStrokes" / "b01" / "b01-010"
    (strokes / "b01-010a-02.xml").rename(strokes / "b01-010a-04.xml")
    form = database / "original" / "c01" / "c01-100" / "strokesw.xml"
    form.write_text(form.read_text().replace("10005", "0"))
    lines, report = read_iam(database)
    assert reasons(report) == {
        "lines and transcript differ in number": 6,
        "transcript not readable": 3,
        "no transcript": 3,
        "writer not known": 3,
    }
    assert len(lines) == 3


@pytest.mark.parametrize("kind", ["forms.txt", "writers.xml"])
def test_mapping_files_stand_in_for_the_original_forms(database, kind):
    """The same writers, from a list or from Writer elements."""
    expected = [line.writer for line in read_iam(database)[0]]
    shutil.rmtree(database / "original")
    if kind == "forms.txt":
        text = "".join(f"{form}\t{writer}\n" for form, writer in FORMS.items())
    else:
        rows = (f'<Writer name="{w}"><Form id="{f}"/></Writer>' for f, w in FORMS.items())
        text = f"<WriterInfo>{''.join(rows)}</WriterInfo>"
    (database / kind).write_text(text)
    assert [line.writer for line in read_iam(database)[0]] == expected


@pytest.mark.parametrize(
    ("part", "wanted"),
    [("lineStrokes", "lineStrokes-all"), ("ascii", "ascii-all"), ("original", "original-xml-all")],
)
def test_a_missing_part_is_named_with_its_archive_and_site(database, part, wanted):
    """One line that says what to download and from where."""
    shutil.rmtree(database / part)
    with pytest.raises(ValueError, match=rf"download {wanted}\.tar\.gz.* from https://") as caught:
        read_iam(database)
    assert "\n" not in str(caught.value)


def test_archives_of_the_site_and_one_of_all_are_read(database, tmp_path):
    """The same lines as from the folder."""
    expected = [line.ink.offsets.tobytes() for line in read_iam(database)[0]]
    site = tmp_path / "site"
    site.mkdir()
    names = {"lineStrokes": "lineStrokes-all", "ascii": "ascii-all", "original": "original-xml-all"}
    for part, name in names.items():
        with tarfile.open(site / f"{name}.tar.gz", "w:gz") as tar:
            tar.add(database / part, part)
    with tarfile.open(tmp_path / "all.tar", "w") as tar:
        tar.add(database, "IAM-OnDB")
    for where in (site, tmp_path / "all.tar"):
        assert [line.ink.offsets.tobytes() for line in read_iam(where)[0]] == expected
    with tarfile.open(site / "ascii-all.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo("../out.txt")
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    with pytest.raises(ValueError, match="outside the target folder"):
        read_iam(site)
    with pytest.raises(ValueError, match="does not exist"):
        read_iam(tmp_path / "nowhere")


def test_strokes_of_one_file_by_hand(tmp_path):
    """y is turned up, the time stays, a stroke without points is left out."""
    path = tmp_path / "line.xml"
    strokes = [np.array([[10, 20, 1.5], [11, 18, 1.52]]), np.empty((0, 3)), np.array([[5, 6, 2]])]
    path.write_text(ink_xml(strokes))
    first, second = read_line_strokes(path)
    assert first.tolist() == [[10, -20, 1.5], [11, -18, 1.52]]
    assert second.tolist() == [[5, -6, 2]]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (ink_xml([np.zeros((2, 3))], BOMB), "defines entities"),
        ("<ink></ink>", "starts with <ink>"),
        ("<ink>", "not well-formed"),
        (ink_xml([]), "no strokes"),
        (ink_xml([np.array([[1, 2, np.nan]])]), "NaN or infinity"),
        (ink_xml([np.zeros((1, 3))]).replace("time=", "at="), "without x, y or time"),
        (None, "cannot read"),
    ],
)
def test_a_file_that_is_no_ink_is_refused_in_one_line(tmp_path, content, match):
    """Entities, another format, cut short, empty, no numbers, missing."""
    path = tmp_path / "line.xml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=match) as caught:
        read_line_strokes(path)
    assert "\n" not in str(caught.value)


def test_even_in_time_by_hand():
    """Uneven samples are interpolated; points that share a time share the tick out."""
    stroke = np.array([[0, 0, 1.0], [1, 0, 1.1], [4, 0, 1.4], [5, 0, 1.5]])
    (even,) = even_in_time([stroke], 0.1)
    assert even[:, 0] == pytest.approx([0, 1, 2, 3, 4, 5])
    shared = np.array([[0, 0, 1.0], [2, 1, 1.0], [4, 2, 1.2], [5, 3, 1.4]])
    (even,) = even_in_time([shared], 0.1)
    assert even == pytest.approx(np.array([[0, 0], [2, 1], [4, 2], [4.5, 2.5], [5, 3]]))
    assert [len(s) for s in even_in_time([stroke[:1], np.empty((0, 3))])] == [1]
