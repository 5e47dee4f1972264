"""The alphabet: text to codes and back."""

from __future__ import annotations

import pytest

from handtraj.alphabet import UNIPEN_SYMBOLS, Alphabet


def test_unipen_symbols_are_the_79_of_the_corpus():
    """Blank, letters, digits, and seventeen signs less one: no symbol twice."""
    assert len(UNIPEN_SYMBOLS) == len(set(UNIPEN_SYMBOLS)) == 79
    assert len(Alphabet()) == 80


def test_encode_counts_symbols_from_one():
    """Code 0 is padding, symbol i has code i + 1."""
    assert Alphabet("abc").encode("cab").tolist() == [3, 1, 2]


def test_decode_inverts_encode_and_skips_padding():
    """Zeros write nothing."""
    alphabet = Alphabet()
    text = "The 3 quick; (brown) foxes!"
    assert alphabet.decode([0, *alphabet.encode(text), 0, 0]) == text


def test_unknown_symbols_are_named_once_each():
    """All of them, in order."""
    with pytest.raises(ValueError, match="'é' '€'"):
        Alphabet().encode("né€é")
    assert Alphabet("ab").unknown("abxcx") == ["x", "c"]


def test_many_unknown_symbols_are_counted():
    """Ten are listed, the rest is a number."""
    with pytest.raises(ValueError, match="and 2 more"):
        Alphabet("x").encode("abcdefghijkl")


@pytest.mark.parametrize("symbols", ["", "aa"])
def test_bad_alphabets_are_refused(symbols):
    """No symbol, and one twice."""
    with pytest.raises(ValueError, match="symbol"):
        Alphabet(symbols)


def test_empty_text_is_refused():
    """There is nothing to write."""
    with pytest.raises(ValueError, match="empty"):
        Alphabet().encode("")
