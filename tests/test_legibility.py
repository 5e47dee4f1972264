"""Legibility of lines: choice of texts, errors by hand, ratios on shared writers."""

import numpy as np
import pytest
import torch
from helpers import small_checkpoint, small_corpus

from handtraj.evaluation.legibility import (
    Legibility,
    choose_lines,
    prime_from_another_line,
    write_lines,
)
from handtraj.writing import Writer


def shown(read, wanted, writers=None):
    """Lines as if a reader had read them."""
    return Legibility(tuple(read), tuple(wanted), tuple(writers or "ab" * len(wanted))[: len(read)])


def test_error_counts_edits_over_characters():
    """By hand: one letter lost of nine."""
    found = shown(["wave", "sa sand"], ["wave", "sea sand"]).error()
    assert found.value == pytest.approx(1 / 12)
    assert (found.n, found.items) == (2, 2)


def test_lenient_error_forgives_case_and_punctuation():
    """Exact: two edits of six; lenient: none."""
    lines = shown(["wave"], ["Wave,"])
    assert lines.error().value == pytest.approx(2 / 5)
    assert lines.error(lenient=True).value == 0


def test_ratio_is_that_of_the_two_errors():
    """Two lost of ten against one of ten: 2, with the same writers in both."""
    wanted = ["abcdefghij", "klmnopqrst"]
    real = shown(["abcdefghi", "klmnopqrs"], wanted)
    written = shown(["abcdefgh", "klmnopqr"], wanted)
    found = written.times(real)
    assert found.value == pytest.approx(2)
    # Both writers have the same ratio: whatever is drawn, it is 2.
    assert (found.low, found.high) == (pytest.approx(2), pytest.approx(2))
    with pytest.raises(ValueError, match="the same texts"):
        written.times(real.only([1, 0]))


def test_lengths_and_worst_characters():
    """Groups by length of the text; the character that is never read comes first."""
    lines = shown(["ab", "xb" * 12], ["ab", "ab" * 12], ["u", "v"])
    groups = lines.by_length((10, 20))
    assert list(groups) == ["0 to 9", "20 to 24"]
    assert groups["20 to 24"].value == pytest.approx(0.5)
    worst = lines.worst(1, least=5)[0]
    assert (worst["character"], worst["count"], worst["read_as"]) == ("a", 13, {"x": 12})


def test_chosen_lines_are_new_in_writer_and_text():
    """No writer and no text of training; writers in turn; the same for the same seed."""
    corpus = small_corpus(writers=60)
    known = {corpus.texts[i] for i in corpus.select("train")}
    fresh = {corpus.texts[i] for i in corpus.select("test", kind="line")} - known
    if not fresh:
        with pytest.raises(ValueError, match="whose text is new"):
            choose_lines(corpus, 4, shortest=1)
    with pytest.raises(ValueError, match="whose text is new"):
        choose_lines(corpus, 4, shortest=1000, longest=2000)
    chosen = choose_lines(_without_training_texts(corpus), 4, shortest=1)
    assert len(chosen) == 4
    assert {corpus.splits[i] for i in chosen} == {"test"}
    again = choose_lines(_without_training_texts(corpus), 4, shortest=1)
    assert np.array_equal(chosen, again)
    writers = [corpus.writers[i] for i in chosen]
    assert len(set(writers)) == min(4, len({corpus.writers[i] for i in corpus.select("test")}))


def _without_training_texts(corpus):
    """The waves, with training texts that nobody else has."""
    from dataclasses import replace

    texts = tuple(
        text + " deep" if split == "train" else text
        for text, split in zip(corpus.texts, corpus.splits, strict=True)
    )
    return replace(corpus, texts=texts)


def test_many_lines_come_back_in_order():
    """Batched by length, returned as asked; unchanged by the size of the batch."""
    writer = Writer(small_checkpoint())
    texts = ["wave upon wave", "sea", "salt and foam", "tide"]
    written = write_lines(writer, texts, bias=0.5, seed=3, batch=2)
    assert [w.text for w in written] == texts
    again = write_lines(writer, texts, bias=0.5, seed=3, batch=4)
    for a, b in zip(written, again, strict=True):
        np.testing.assert_allclose(a.ink.offsets[:20], b.ink.offsets[:20], atol=1e-4)


def test_prime_comes_from_another_line_of_the_same_writer():
    """Never the line itself nor its text; None for a writer with one line only."""
    corpus = small_corpus()
    writer = Writer(small_checkpoint())
    # An untrained window stays at the start: nothing can be primed.
    assert prime_from_another_line(writer, corpus, 1, longest=1000) is None
    # Let the window run along with the pen instead.
    with torch.no_grad():
        writer.network.window_head.bias[2 * 4 :] = np.log(1 / 7)
    style = prime_from_another_line(writer, corpus, 1, longest=1000)
    assert style is not None
    number = int(style.name.removeprefix("line"))
    assert number != 1
    assert corpus.writers[number] == corpus.writers[1]
    assert corpus.texts[number] != corpus.texts[1]
