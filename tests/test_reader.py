"""The reader against hand-worked cases, brute force, and real lines of other writers."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import ctc_loss

from handtraj.alphabet import Alphabet
from handtraj.checkpoint import CheckpointError, write_tensors
from handtraj.corpus import build_corpus
from handtraj.evaluation.edits import (
    align,
    aligned_errors,
    character_errors,
    lenient_text,
)
from handtraj.evaluation.reader import (
    Reader,
    ReaderConfig,
    ReaderNetwork,
    best_path,
    collate,
    load_reader,
    reader_features,
    save_reader,
    trace,
)
from handtraj.ink import Ink

#: Share of characters that the shipped reader may get wrong on real lines.
BOUND = 0.13

TINY = ReaderConfig(symbols=" abcdo", channels=(8, 12), units=16, layers=2)


def tiny_reader(seed=0, config=TINY):
    """An untrained reader."""
    torch.manual_seed(seed)
    return Reader(ReaderNetwork(config), {"made": "for a test"})


def spiral(count, turns=3.0):
    """One stroke of a smooth curve, `count` points evenly in the parameter."""
    t = np.linspace(0, 1, count)
    angle = 2 * np.pi * turns * t
    return np.column_stack([6 * t + 0.5 * np.sin(angle), 0.5 * np.cos(angle)])


#: Letters drawn by hand, in a box 0.8 wide and one (or two) x-heights high.
ARC = np.linspace(0, 2 * np.pi, 17)
RING = np.column_stack([0.4 - 0.4 * np.cos(ARC), 0.5 + 0.5 * np.sin(ARC)])
LETTERS = {
    "o": [RING],
    "a": [RING, [[0.8, 1], [0.8, 0]]],
    "b": [[[0, 2], [0, 0]], RING],
    "c": [RING[::-1][4:14]],
    "d": [RING, [[0.8, 2], [0.8, 0]]],
}


def scripted(text):
    """Ink of `text` in the letters above, a blank one x-height wide."""
    strokes, x = [], 0.0
    for character in text:
        strokes += [np.add(s, [x, 0]) for s in LETTERS.get(character, [])]
        x += 1.1
    return Ink.from_strokes(strokes)


def slow_distance(a, b):
    """Edit distance by trying every first edit."""
    if not a or not b:
        return len(a) + len(b)
    if a[0] == b[0]:
        return slow_distance(a[1:], b[1:])
    return 1 + min(slow_distance(a[1:], b), slow_distance(a, b[1:]), slow_distance(a[1:], b[1:]))


# ---------------------------------------------------------------- distances


def test_distance_is_that_of_brute_force():
    """All words of three letters out of two, and longer random ones."""
    words = ["".join(w) for n in range(4) for w in itertools.product("ab", repeat=n)]
    rng = np.random.default_rng(0)
    words += ["".join(rng.choice(list("abc"), int(rng.integers(4, 7)))) for _ in range(8)]
    pairs = list(itertools.product(words, words))
    edits, lengths = character_errors([a for a, _ in pairs], [b for _, b in pairs])
    assert edits.tolist() == [slow_distance(a, b) for a, b in pairs]
    assert lengths.tolist() == [len(b) for _, b in pairs]


def test_lenient_comparison_ignores_case_and_punctuation():
    """Exact counts what lenient does not."""
    assert lenient_text("Don't, Mr. X - 7!") == "dont mr x 7"
    assert character_errors(["dont mr x 7"], ["Don't, Mr. X - 7!"], lenient=True)[0][0] == 0
    # D, ', the comma, M, the point, X, the hyphen with a blank, !
    assert character_errors(["dont mr x 7"], ["Don't, Mr. X - 7!"])[0][0] == 9
    assert character_errors([""], ["..."], lenient=True)[1][0] == 0


def test_alignment_costs_the_distance_and_spells_both_texts():
    """The path leads from one text to the other at the lowest price."""
    rng = np.random.default_rng(1)
    for _ in range(50):
        a, b = ("".join(rng.choice(list("abcd"), int(rng.integers(0, 9)))) for _ in range(2))
        pairs = align(a, b)
        assert "".join(w for w, _ in pairs) == b
        assert "".join(r for _, r in pairs) == a
        assert sum(w != r for w, r in pairs) == character_errors([a], [b])[0][0]


def test_errors_by_character_are_counted_by_hand():
    """One lost, two replaced, one added; the worst stands first."""
    rows = aligned_errors(["cot", "bat", "xat"], ["coat", "cat", "cat"])
    assert [(r.character, r.count, r.lost, r.read_as) for r in rows] == [
        ("c", 3, 0, {"b": 1, "x": 1}),
        ("a", 3, 1, {}),
        ("o", 1, 0, {}),
        ("t", 3, 0, {}),
    ]
    assert rows[0].rate == pytest.approx(2 / 3)
    assert rows[0].replaced == 2
    assert [r.character for r in aligned_errors(["a"], ["ab"], least=2)] == []


def test_errors_refuse_strings_and_unequal_numbers():
    """A string is a sequence of letters: a likely mistake."""
    with pytest.raises(TypeError, match="lists of lines"):
        character_errors("abc", "abc")
    with pytest.raises(ValueError, match="1 lines written, 2 wanted"):
        character_errors(["a"], ["a", "b"])


# --------------------------------------------------------------- the path


def test_best_path_merges_repeats_and_drops_blanks():
    """B(a a - a b -) = aab; a blank between equal letters keeps both."""
    alphabet = Alphabet("ab")
    assert best_path(np.array([1, 1, 0, 1, 2, 0]), alphabet) == "aab"
    assert best_path(np.array([0, 0]), alphabet) == ""
    assert best_path(np.array([], dtype=np.int64), alphabet) == ""
    assert best_path(np.array([2, 2, 2]), alphabet) == "b"


def test_training_loss_is_the_sum_over_all_paths():
    """Minus the log of the summed probability of every path that spells the text."""
    alphabet = Alphabet("ab")
    logp = torch.log_softmax(torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), -1)
    for text in ("a", "ab", "aa", "bab"):
        total = sum(
            math.exp(sum(float(logp[t, k]) for t, k in enumerate(path)))
            for path in itertools.product(range(3), repeat=5)
            if best_path(np.array(path), alphabet) == text
        )
        codes = torch.from_numpy(alphabet.encode(text))
        loss = ctc_loss(logp[:, None], codes[None], [5], [len(codes)], reduction="sum")
        assert float(loss) == pytest.approx(-math.log(total), rel=1e-5)


def test_trace_keeps_the_ends_and_the_length():
    """Pieces of one size along every stroke; corners cost next to nothing."""
    strokes = [spiral(200), np.add(spiral(200), [7.0, 0.5])]
    points, air = trace(Ink.from_strokes(strokes), 0.1, 0.3)
    points = points + strokes[0][0]
    length = np.hypot(*np.diff(points, axis=0).T)
    ink = length[~air[1:]]
    true = sum(np.hypot(*np.diff(s, axis=0).T).sum() for s in strokes)
    assert ink.sum() == pytest.approx(true, rel=5e-3)
    # The chord of a piece is shorter than the piece where the path bends.
    assert 0.09 < ink.min() <= np.median(ink) < ink.max() < 0.101
    gap = np.hypot(*(strokes[1][0] - strokes[0][-1]))
    assert length[air[1:]] == pytest.approx(np.full(air.sum(), gap / round(gap / 0.3)), rel=1e-4)
    np.testing.assert_allclose(points[[0, -1]], [strokes[0][0], strokes[1][-1]], atol=1e-4)


def test_trace_does_not_depend_on_the_rate_of_the_tablet():
    """Twice as many points, or unevenly set ones, give the same path."""
    ink = Ink.from_strokes([spiral(150)])
    points, _ = trace(ink, 0.2, 0.4)
    uneven = np.column_stack(
        [
            np.interp(np.linspace(0, 1, 900) ** 1.5, np.linspace(0, 1, 4000), c)
            for c in spiral(4000).T
        ]
    )
    for other in (spiral(300), np.repeat(spiral(600), 2, axis=0), uneven):
        again, _ = trace(Ink.from_strokes([other]), 0.2, 0.4)
        assert len(again) == len(points)
        assert np.abs(again - points).max() < 0.01


def test_trace_of_a_dot_and_of_single_points():
    """A dot is what two movements in the air enclose."""
    points, air = trace(Ink.from_strokes([[[0, 0]], [[0.3, 0], [0.3, 0]], [[0.6, 0]]]), 0.2, 0.3)
    np.testing.assert_allclose(points, [[0, 0], [0.3, 0], [0.6, 0]], atol=1e-6)
    assert air.tolist() == [False, True, True]
    assert len(trace(Ink.from_strokes([[[5, 5]]]), 0.2, 0.3)[0]) == 1


def test_features_forget_where_the_line_stands():
    """A shift of all points changes nothing."""
    one = reader_features(Ink.from_strokes([spiral(80)]), TINY)
    two = reader_features(Ink.from_strokes([np.add(spiral(80), [100.0, -20.0])]), TINY)
    np.testing.assert_allclose(one, two, atol=1e-3)
    assert np.isfinite(one).all()


# ------------------------------------------------------------- the network


def test_a_line_reads_the_same_in_any_company():
    """Neither padding nor neighbours change a line's probabilities."""
    network = tiny_reader().network.eval()
    lines = [reader_features(Ink.from_strokes([spiral(n)]), TINY) for n in (300, 90, 31, 8)]
    lines[2] = lines[2][:7]
    with torch.no_grad():
        together, frames = network(*collate(lines))
        x, lengths = collate(lines)
        longer, _ = network(torch.nn.functional.pad(x, (0, 0, 0, 37)), lengths)
        for b, one in enumerate(lines):
            alone, count = network(*collate([one]))
            assert int(count[0]) == int(frames[b]) == math.ceil(len(one) / 4)
            for other in (together, longer):
                torch.testing.assert_close(other[: len(alone), b], alone[:, 0])


def test_read_returns_lines_in_their_order():
    """Batches by length inside, the caller's order outside."""
    reader = tiny_reader(3)
    texts = ["ab", "dabcodab ocd", "o", "cod ab"] * 3
    lines = [scripted(t) for t in texts]
    assert reader.read(lines) == [reader.read(line)[0] for line in lines]
    assert reader.read([]) == []


def test_tiny_network_learns_eight_scripted_lines():
    """Features, loss and decoding fit together: it reads what it has learnt."""
    texts = ["ab", "bad", "cod", "dob", "a cab", "bo", "do a", "cc"]
    reader = tiny_reader(config=replace(TINY, layers=1, units=24))
    lines = [scripted(t) for t in texts]
    x, lengths = collate([reader_features(line, TINY) for line in lines])
    codes = [torch.from_numpy(reader.alphabet.encode(t)) for t in texts]
    sizes = torch.tensor([len(c) for c in codes])
    optimiser = torch.optim.Adam(reader.network.parameters(), lr=2e-2)
    for _ in range(150):
        logp, frames = reader.network(x, lengths)
        loss = ctc_loss(logp, torch.cat(codes), frames, sizes)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(reader.network.parameters(), 1.0)
        optimiser.step()
        if float(loss.detach()) < 0.05:
            break
    assert reader.read(lines) == texts


# ------------------------------------------------------------------- files


def test_reader_comes_back_from_its_file(tmp_path):
    """Sizes and provenance exactly, weights to float16."""
    before = tiny_reader()
    save_reader(tmp_path / "reader.safetensors", before)
    after = load_reader(tmp_path / "reader.safetensors")
    assert (after.network.config, after.about) == (TINY, before.about)
    assert after.alphabet == Alphabet(TINY.symbols)
    for name, value in before.network.state_dict().items():
        assert torch.equal(value.half().float(), after.network.state_dict()[name])


def test_bad_files_are_named(tmp_path):
    """Missing, cut short, of another kind, not fitting."""
    path = tmp_path / "reader.safetensors"
    with pytest.raises(CheckpointError, match="does not exist"):
        load_reader(path)
    save_reader(path, tiny_reader())
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(CheckpointError, match="cut short"):
        load_reader(path)
    write_tensors(path, {"x": torch.zeros(1)}, {"kind": "weights", "version": 1})
    with pytest.raises(CheckpointError, match="expected 'reader' version 1"):
        load_reader(path)
    for config in ({}, {"units": 0}, {"unit": 3}, None):
        write_tensors(path, {}, {"kind": "reader", "version": 1, "config": config})
        with pytest.raises(CheckpointError, match="do not fit their description"):
            load_reader(path)


def test_wrong_ink_is_refused():
    """Something else than ink, and ink without points."""
    reader = tiny_reader()
    with pytest.raises(TypeError, match="item 1 is ndarray"):
        reader.read([scripted("a"), np.zeros((4, 3))])
    with pytest.raises(TypeError, match="Ink or a list of Ink, got str"):
        reader.read("hello")
    with pytest.raises(ValueError, match="line 0 is empty"):
        reader.read([Ink(np.zeros((0, 3)))])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": 0.0}, "step must be > 0"),
        ({"channels": (4,)}, "channels must be two"),
        ({"units": 0}, "units must be >= 1"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\)"),
        ({"symbols": "aa"}, "must differ"),
    ],
)
def test_config_is_checked(change, message):
    """Every value says what is allowed."""
    with pytest.raises(ValueError, match=message):
        ReaderConfig(**change)


# ------------------------------------------------------- the shipped reader


def test_shipped_reader_states_where_it_comes_from():
    """Small, and with its error on writers it never saw."""
    reader = load_reader()
    found = reader.about["errors"]["test_line"]
    assert found["lines"] > 1000
    assert found["writers"] >= 20
    assert 0 < found["lenient"]["error"] <= found["exact"]["error"] < BOUND
    low, high = found["exact"]["interval_over_writers"]
    assert low < found["exact"]["error"] < high
    assert "/" not in reader.about["command"].replace("scripts/train_reader.py", "")
    assert len(reader.about["corpus_sha256"]) == 64
    assert len(reader.alphabet) == 80


@pytest.mark.slow
def test_shipped_reader_reads_writers_it_never_saw(unipen_lines):
    """A hundred real lines of the test writers, below the bound and as stated."""
    corpus = build_corpus(unipen_lines[0])
    chosen = corpus.select("test", kind="line")[::11]
    reader = load_reader()
    written = reader.read([Ink(corpus.offsets(int(i))) for i in chosen])
    edits, lengths = character_errors(written, [corpus.texts[int(i)] for i in chosen])
    error = edits.sum() / lengths.sum()
    assert error < BOUND
    assert error == pytest.approx(reader.about["errors"]["test_line"]["exact"]["error"], abs=0.06)
