"""The UNIPEN format, one test a trap, on files the tests write."""

from __future__ import annotations

import numpy as np
import pytest

from handtraj.sources.unipen_format import UnipenError, parse_file

PEN = ".PEN_DOWN\n0 1\n2 3\n4 5\n.PEN_UP\n.PEN_DOWN\n10 11\n12 13\n"


@pytest.fixture
def parse(tmp_path):
    """Parse text as a file, with other files to include."""

    def run(text, **includes):
        folder = tmp_path / "include"
        for name, content in includes.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content, encoding="latin-1")
        folder.mkdir(exist_ok=True)
        path = tmp_path / "file.dat"
        path.write_bytes(text if isinstance(text, bytes) else text.encode("latin-1"))
        return parse_file(path, folder)

    return run


def strokes(document, number=0):
    """Strokes of a segment as lists."""
    return [s.tolist() for s in document.strokes(document.segments[number])]


def test_empty_blocks_are_not_counted(parse):
    """Empty PEN_UP and PEN_DOWN are events, not components."""
    document = parse(PEN + '.PEN_DOWN\n.PEN_UP\n \n.PEN_DOWN\n7 7\n.SEGMENT WORD 2 ? "a"\n')
    assert [len(c.xy) for c in document.sets[0]] == [3, 2, 1]
    assert strokes(document) == [[[7, 7]]]


def test_pen_up_with_ink_is_counted_but_not_drawn(parse):
    """A hovering pen has a number and no ink."""
    document = parse('.PEN_DOWN\n1 1\n.PEN_UP\n2 2\n.PEN_DOWN\n3 3\n.SEGMENT WORD 0-2 ? "a"\n')
    assert [c.down for c in document.sets[0]] == [True, False, True]
    assert strokes(document) == [[[1, 1]], [[3, 3]]]


def test_start_set_restarts_the_counter(parse):
    """A segment means the components of its own set."""
    document = parse(
        '.START_SET a\n.PEN_DOWN\n1 1\n.SEGMENT WORD 0 ? "a"\n'
        '.START_SET b\n.PEN_DOWN\n2 2\n.SEGMENT WORD 0 ? "b"\n'
    )
    assert strokes(document, 0) == [[[1, 1]]]
    assert strokes(document, 1) == [[[2, 2]]]


def test_start_box_and_include_do_not_restart(parse):
    """The counter runs on through both."""
    document = parse(
        '.PEN_DOWN\n1 1\n.START_BOX\n.PEN_DOWN\n2 2\n.INCLUDE more\n.SEGMENT WORD 2 ? "a"\n',
        more=".PEN_DOWN\n3 3\n",
    )
    assert strokes(document) == [[[3, 3]]]


def test_dt_is_no_component(parse):
    """A pause between strokes is not counted."""
    document = parse('.PEN_DOWN\n1 1\n.PEN_UP\n.DT 100\n.PEN_DOWN\n2 2\n.SEGMENT WORD 1 ? "a"\n')
    assert strokes(document) == [[[2, 2]]]


@pytest.mark.parametrize(
    ("delineation", "expected"),
    [
        ("0", [[[0, 1], [2, 3], [4, 5]]]),
        ("0-1", [[[0, 1], [2, 3], [4, 5]], [[10, 11], [12, 13]]]),
        ("0:1-0:2", [[[2, 3], [4, 5]]]),
        ("0:1-1:0", [[[2, 3], [4, 5]], [[10, 11]]]),
        ("0:2-1", [[[4, 5]], [[10, 11], [12, 13]]]),
        ("0-1:0", [[[0, 1], [2, 3], [4, 5]], [[10, 11]]]),
        ("1,0:1-0:1", [[[10, 11], [12, 13]], [[2, 3]]]),
    ],
)
def test_delineations_are_inclusive_ranges(parse, delineation, expected):
    """Missing M is 0, missing N the last point; a comma joins ranges."""
    document = parse(PEN + f'.SEGMENT WORD {delineation} ? "a"\n')
    assert strokes(document) == expected


@pytest.mark.parametrize("delineation", ["2", "0-2", "1-0", "0:1-0:3", "0:2-0:1", "x", "0--1"])
def test_delineations_outside_the_ink_are_refused(parse, delineation):
    """No index is clipped silently."""
    document = parse(PEN + f'.SEGMENT WORD {delineation} ? "a"\n')
    with pytest.raises(UnipenError):
        document.strokes(document.segments[0])


@pytest.mark.parametrize(
    ("written", "label"),
    [(r"\"go\"", '"go"'), (r"a\\b", r"a\b"), (r"a\@b", "ab"), ("a@b", "a@b"), ("", "")],
)
def test_label_escapes(parse, written, label):
    """Quotes and backslashes are literal, the ligature mark vanishes, @ stays."""
    document = parse(PEN + f'.SEGMENT WORD 0 ? "{written}"\n')
    assert document.segments[0].label == label


@pytest.mark.parametrize("quality", ["?", "OK", "GOOD", "BAD"])
def test_quality_codes_are_kept(parse, quality):
    """The parser judges none of them."""
    segment = parse(PEN + f'.SEGMENT TEXT 0-1 {quality} "a b"\n').segments[0]
    assert (segment.quality, segment.level) == (quality, "TEXT")


def test_statements_stand_in_the_first_column(parse):
    """An indented keyword is text."""
    document = parse(".COMMENT see\n .PEN_DOWN\n 9 9\n\t.SEGMENT nonsense\n" + PEN)
    assert len(document.sets[0]) == 2
    assert not document.segments


def test_includes_nest(parse):
    """A file includes one that includes another; facts come from any."""
    document = parse(
        '.INCLUDE a/one\n.SEGMENT WORD 0 ? "a"\n',
        **{"a/one": ".INCLUDE b/two\n", "b/two": ".WRITER_ID  me \n.PEN_DOWN\n1 2\n"},
    )
    assert strokes(document) == [[[1, 2]]]
    assert document.facts["WRITER_ID"] == "me"
    assert document.includes == ["a/one", "b/two"]


def test_word_lists_are_not_read(parse):
    """Lexicons need not even exist."""
    assert len(parse(".INCLUDE big.lex\n.INCLUDE big.freq\n" + PEN).sets[0]) == 2


@pytest.mark.parametrize("name", ["../file.dat", "/etc/passwd", "a/../../file.dat"])
def test_includes_outside_the_folder_are_refused(parse, name):
    """Paths that climb out, and absolute ones."""
    with pytest.raises(UnipenError, match="outside the include folder"):
        parse(f".INCLUDE {name}\n" + PEN)


def test_missing_and_circular_includes_are_refused(parse):
    """One clear line for each."""
    with pytest.raises(UnipenError, match="cannot read none"):
        parse(".INCLUDE none\n")
    with pytest.raises(UnipenError, match="nest deeper"):
        parse(".INCLUDE me\n", me=".INCLUDE me\n")


@pytest.mark.parametrize(
    ("coord", "row"), [("X Y T P", "1 2 99 98"), ("X Y P", "1 2 99"), ("T Y X", "99 2 1")]
)
def test_coord_tells_the_columns(parse, coord, row):
    """X and Y are found wherever they stand."""
    document = parse(f".COORD {coord}\n.PEN_DOWN\n{row}\n{row}\n")
    assert document.sets[0][0].xy.tolist() == [[1, 2], [1, 2]]


def test_coord_without_x_is_refused(parse):
    """There would be no ink."""
    with pytest.raises(UnipenError, match="needs X and Y"):
        parse(".COORD T P\n" + PEN)


def test_latin_1_bytes_are_read(parse):
    """Labels with a non-ASCII byte."""
    assert parse(PEN.encode() + b'.SEGMENT WORD 0 ? "na\xefve"\n').segments[0].label == "naïve"


def test_line_ends_of_other_systems_are_read(parse):
    """CR LF as LF."""
    assert len(parse(PEN.replace("\n", "\r\n").encode()).sets[0]) == 2


def test_blanked_ink_is_refused(parse):
    """A single point at 0 0 was withheld; a point elsewhere is a dot."""
    segments = '.SEGMENT WORD 0 ? "a"\n.SEGMENT WORD 1 ? "b"\n'
    document = parse(".PEN_DOWN\n0 0\n.PEN_DOWN\n0 1\n" + segments)
    with pytest.raises(UnipenError, match="blanked"):
        document.strokes(document.segments[0])
    assert strokes(document, 1) == [[[0, 1]]]


def test_a_stray_number_spoils_one_row_only(parse):
    """The good rows stay, and later blocks too."""
    document = parse(".PEN_DOWN\n1 2\n3\n4 5\n.PEN_DOWN\n6 7\n")
    assert [c.xy.tolist() for c in document.sets[0]] == [[[1, 2], [4, 5]], [[6, 7]]]


def test_a_block_with_no_whole_row_is_not_counted(parse):
    """One number is no coordinate."""
    assert len(parse(".PEN_DOWN\n5\n" + PEN).sets[0]) == 2


def test_numbers_that_are_no_integers_are_read(parse):
    """Fractions and exponents; huge ones do not wrap."""
    document = parse(".PEN_DOWN\n1.5 -2e1\n.PEN_DOWN\n99999999999999999999 1\n")
    assert document.sets[0][0].xy.tolist() == [[1.5, -20]]
    assert document.sets[0][1].xy[0, 0] == 1e20


@pytest.mark.parametrize("row", ["1 x", "nan 1", "1 inf", "1-2 3", "1 2\0"])
def test_pen_blocks_with_other_things_are_refused(parse, row):
    """Words, NaN, infinity, numbers run together."""
    with pytest.raises(UnipenError, match="pen block"):
        parse(f".PEN_DOWN\n{row}\n")


def test_a_file_that_is_no_unipen_is_refused(parse):
    """Text, nothing, and bytes."""
    for content in (b"hello\n", b"", bytes(range(256))):
        with pytest.raises(UnipenError, match="not a UNIPEN file"):
            parse(content)


def test_a_broken_segment_is_refused(parse):
    """No closing quote."""
    with pytest.raises(UnipenError, match="cannot read"):
        parse(PEN + '.SEGMENT WORD 0 ? "a\n')


def test_y_grows_up(parse):
    """Coordinates are kept as they are."""
    assert np.all(parse(".PEN_DOWN\n-3 -4\n").sets[0][0].xy == [[-3, -4]])
