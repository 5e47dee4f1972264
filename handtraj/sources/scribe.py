"""Synthetic writers whose style is known: the known answer for every analysis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handtraj.alphabet import UNIPEN_SYMBOLS, Alphabet
from handtraj.corpus import Corpus, build_corpus
from handtraj.sources.kinematics import move_along
from handtraj.sources.letterforms import letterform
from handtraj.sources.line import Line, level_line, usual_slope
from handtraj.strokes import (
    estimate_slope,
    run_duration,
    vertical_runs,
    x_height,
)

__all__ = [
    "RANGES",
    "ScribeLine",
    "ScribeStyle",
    "make_scribe_corpus",
    "normalise_hand",
    "random_style",
    "scribe_lines",
    "scribe_text",
    "write_line",
]

#: Samples a second of the synthetic tablet.
RATE = 100.0
#: Gaps at spacing 1, in x-heights.
LETTER_GAP, WORD_GAP = 0.15, 1.4
#: What :func:`random_style` draws from, evenly.
RANGES: dict[str, tuple[float, float]] = {
    "slant": (-20.0, 35.0),
    "size": (60.0, 160.0),
    "aspect": (0.6, 1.3),
    "roundness": (0.0, 1.0),
    "loop": (0.5, 1.1),
    "spacing": (0.5, 1.5),
    "connectedness": (0.0, 1.0),
    "speed": (0.7, 1.4),
    "tremor": (0.0, 0.03),
    "drift": (-0.04, 0.04),
    "late_marks": (0.0, 1.0),
}
_LIMITS = {"slant": (-60.0, 60.0), "drift": (-0.25, 0.25), "tremor": (0.0, 0.5)}
_SHARES = ("roundness", "connectedness", "late_marks")


@dataclass(frozen=True)
class ScribeStyle:
    """What tells one synthetic hand from another.

    Parameters
    ----------
    slant : float
        Degrees from the vertical, positive to the right.
    size : float
        The x-height in device units.
    aspect : float
        Width of the letters, 1 for that of the letterforms.
    roundness : float
        0 for corners, 1 for pulses that overlap much.
    loop : float
        Size of ascenders and descenders; 1 is 1.33 x-heights.
    spacing : float
        Factor of the gaps: 0.15 x-heights between letters, 1.4 between words.
    connectedness : float
        Share (0 to 1) of neighbouring small letters that are joined.
    speed : float
        Factor of the tempo.
    tremor : float
        Standard deviation of a shake of 8 to 12 Hz, in x-heights.
    drift : float
        Slope of the baseline, rise over run.
    late_marks : float
        Share (0 to 1) of words whose dots and crosses wait for their end.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    slant: float = 0.0
    size: float = 100.0
    aspect: float = 1.0
    roundness: float = 0.5
    loop: float = 0.8
    spacing: float = 1.0
    connectedness: float = 0.5
    speed: float = 1.0
    tremor: float = 0.0
    drift: float = 0.0
    late_marks: float = 0.5

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            low, high = (0.0, 1.0) if name in _SHARES else _LIMITS.get(name, (1e-3, 1e5))
            if not low <= value <= high:
                raise ValueError(f"{name} must be between {low:g} and {high:g}, got {value}")


@dataclass(frozen=True, eq=False)
class ScribeLine:
    """One line as the synthetic tablet reports it.

    Parameters
    ----------
    strokes : list of array, each (n, 2)
        Sampled every 10 ms, in whole device units, y up.
    text : str
        What is written.
    characters : array, shape (points,)
        Which character of `text` every point belongs to; it only goes back
        at late dots and crosses.
    style : ScribeStyle
        The hand.
    """

    strokes: list[NDArray[np.float64]]
    text: str
    characters: NDArray[np.int64]
    style: ScribeStyle


def random_style(rng: np.random.Generator) -> ScribeStyle:
    """Draw every parameter evenly from its range in RANGES."""
    return ScribeStyle(**{name: float(rng.uniform(*ends)) for name, ends in RANGES.items()})


#: A path, with the number of the character that every corner belongs to.
_Path = tuple[NDArray[np.float64], NDArray[np.int64]]


def _plan(text: str, style: ScribeStyle, rng: np.random.Generator) -> list[_Path]:
    """Paths of the pen in the order they are drawn, upright, in x-heights."""
    paths: list[_Path] = []
    waiting: list[_Path] = []
    x, late, joined = 0.0, False, False
    for index, symbol in enumerate(text):
        form = letterform(symbol)
        if symbol == " ":
            paths, waiting, joined = paths + waiting, [], False
            x += (WORD_GAP - LETTER_GAP) * style.spacing
            continue
        if index == 0 or text[index - 1] == " ":
            late = bool(rng.random() < style.late_marks)
        # No letter comes out twice the same.
        stretch = np.array([style.aspect, 1.0]) * (1 + 0.03 * rng.standard_normal(2))
        body = [_shape(s, stretch, style.loop, x) for s in form.body]
        marks = [_shape(s, stretch, style.loop, x) for s in form.late]
        fresh = [(s, np.full(len(s), index)) for s in body]
        if joined and form.joins:
            path, owner = paths[-1]
            first, _ = fresh.pop(0)
            first = np.concatenate([_lead_in(first), first])
            number = np.full(len(first), index)
            paths[-1] = (np.concatenate([path, first]), np.concatenate([owner, number]))
        paths += fresh
        mark_paths = [(s, np.full(len(s), index)) for s in marks]
        follower = letterform(text[index + 1]) if index + 1 < len(text) else None
        joined = bool(
            form.joins and follower and follower.joins and rng.random() < style.connectedness
        )
        if form.joins and not joined:
            # A letter that stands alone has no stroke towards the next one.
            path, owner = paths[-1]
            paths[-1] = (path[:-1], owner[:-1])
        if marks and not late:
            # The pen comes down again to go on, so this letter ends its stroke.
            paths += mark_paths
            joined = False
        else:
            waiting += mark_paths
        x += form.width * stretch[0] + LETTER_GAP * style.spacing
    return paths + waiting


def _lead_in(body: NDArray[np.float64]) -> NDArray[np.float64]:
    """Way to the start of a round letter over its top: straight would cross it out."""
    top = int(body[:5, 1].argmax())
    return body[top:0:-1] if body[top, 0] < body[0, 0] else body[:0]


def _shape(
    stroke: NDArray[np.float64], stretch: NDArray[np.float64], loop: float, left: float
) -> NDArray[np.float64]:
    x, y = (stroke * stretch).T
    y = np.where(y > 1, 1 + (y - 1) * loop, np.where(y < 0, y * loop, y))
    return np.column_stack([x + left, y])


def _shake(count: int, tremor: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Tremor (count, 2): six sines of random phase, 8 to 12 Hz."""
    frequency = rng.uniform(8, 12, (6, 1, 2))
    phase = rng.uniform(0, 2 * np.pi, (6, 1, 2))
    t = np.arange(count)[None, :, None] / RATE
    wave = np.sin(2 * np.pi * frequency * t + phase).sum(0)
    return np.asarray(tremor * wave / np.sqrt(3))


def write_line(text: str, style: ScribeStyle, rng: np.random.Generator) -> ScribeLine:
    """Write one line in a hand.

    Raises
    ------
    ValueError
        If the text is empty, only blanks, or holds unknown symbols.
    """
    Alphabet(UNIPEN_SYMBOLS).encode(text)
    if not text.strip():
        raise ValueError("text has only blanks; give at least one symbol to draw")
    drawn, owners = [], []
    tempo = 0.1 / style.speed
    for path, owner in _plan(text, style, rng):
        points, done = move_along(path, tempo=tempo, overlap=0.2 + 0.5 * style.roundness, rate=RATE)
        arc = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])
        # A ligature belongs to the letter that it leads to.
        corner = np.searchsorted(arc, done - 1e-9, side="left")
        drawn.append(points)
        owners.append(owner[np.minimum(corner, len(owner) - 1)])
    every = np.concatenate(drawn) + _shake(sum(map(len, drawn)), style.tremor, rng)
    x = every[:, 0] + np.tan(np.radians(style.slant)) * every[:, 1]
    y = every[:, 1] + style.drift * x
    grid = np.rint(np.column_stack([x, y]) * style.size)
    strokes = np.split(grid, np.cumsum([len(p) for p in drawn])[:-1])
    return ScribeLine(strokes, text, np.concatenate(owners).astype(np.int64), style)


_WORD_LIST = """
the of and to in that was his he it with is for as had you not be her on at by which
have or from this him but all she they were my are me one their so an said them we who
would been will no when there if more out up into do any your what has man could other
than our some very time upon about may its only now like little then can made should did
us such great before must two these see know over much down after first good men own never
most old shall day where those came come himself way work life without go make well through
being long say might how am too even again many back here think every people went same last
thought away under take found hand eyes still place while just also young yet though against
things get ever give god years off face nothing right once another left part saw house world
head three took new love always mrs put night each king between tell mind heart few because
thing whom far seemed looked called whole set both got find done heard name told water
quick brown fox jumps lazy dog exact zero jazz quiet maze box fix joy pack vex next quartz xenon
"""
_WORDS = _WORD_LIST.split()


def scribe_text(rng: np.random.Generator, symbol: str = "") -> str:
    """Three to six common words, dressed so that `symbol` occurs among them."""
    words = [str(w) for w in rng.choice(_WORDS, rng.integers(3, 7))]
    words[0] = words[0].capitalize()
    place = int(rng.integers(len(words)))
    if symbol.isdigit():
        words[place] = symbol + "".join(str(d) for d in rng.integers(0, 10, 2))
    elif symbol.isupper():
        fit = [w for w in _WORDS if w[0] == symbol.lower()]
        words[place] = symbol + str(rng.choice(fit))[1:]
    elif symbol.islower() and symbol not in "".join(words):
        words[place] = next(w for w in _WORDS if symbol in w)
    elif symbol in ("(", ")"):
        words[place] = f"({words[place]})"
    elif symbol in ('"', "'", "#", "$", "&"):
        pairs = {'"': '"{}"', "'": "{}'s", "#": "#{}", "$": "${}", "&": "& {}"}
        words[place] = pairs[symbol].format(words[place])
    elif symbol == "%":
        words[place] = f"{rng.integers(10, 100)}%"
    elif symbol in ("-", "/"):
        words[place] += symbol + str(rng.choice(_WORDS))
    elif symbol.strip() and not symbol.isalpha():
        words[place] += symbol
    return " ".join(words) + str(rng.choice(["", ".", ","]))


def scribe_lines(writers: int, lines: int, seed: int) -> tuple[list[Line], list[dict[str, Any]]]:
    """Lines of several synthetic writers, normalised as those of real ones.

    Parameters
    ----------
    writers, lines : int
        Writers, and lines of each.
    seed : int
        The same seed gives the same ink.

    Returns
    -------
    list of Line, list of dict
        Ink in x-heights, six points a vertical run; and one dict of
        planted parameters a writer, with the id under "writer".

    Raises
    ------
    ValueError
        If there is no writer or no line, or the seed is negative.
    """
    for name, value, least in (("writers", writers, 1), ("lines", lines, 1), ("seed", seed, 0)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    found: list[Line] = []
    planted: list[dict[str, Any]] = []
    for number, child in enumerate(np.random.SeedSequence(seed).spawn(writers)):
        rng = np.random.default_rng(child)
        style = random_style(rng)
        name = f"scribe{number + 1:03d}"
        # Every run of 79 lines, over writers, asks for every symbol once.
        asked = [UNIPEN_SYMBOLS[(number * lines + k) % len(UNIPEN_SYMBOLS)] for k in range(lines)]
        written = [write_line(scribe_text(rng, symbol), style, rng) for symbol in asked]
        found += normalise_hand(written, name)
        planted.append({"writer": name, **asdict(style)})
    return found, planted


def normalise_hand(written: Sequence[ScribeLine], writer: str) -> list[Line]:
    """Scale one hand by its x-height, resample by its tempo, level every line.

    Parameters
    ----------
    written : sequence of ScribeLine
        All of one hand: scale and tempo are measured on them together.
    writer : str
        Its id.

    Returns
    -------
    list of Line
        In x-heights, six points a vertical run.
    """
    pooled = np.concatenate([vertical_runs(line.strokes) for line in written])
    height, duration = x_height(pooled), run_duration(pooled)
    slopes = [estimate_slope(line.strokes) for line in written]
    usual = usual_slope(slopes)
    return [
        level_line(
            line.strokes,
            line.text,
            writer,
            "scribe",
            "line" if " " in line.text else "word",
            slopes=(own, usual),
            height=height,
            duration=duration,
        )
        for line, own in zip(written, slopes, strict=True)
    ]


def make_scribe_corpus(writers: int, lines: int, seed: int) -> Corpus:
    """A corpus of synthetic writers; `about["styles"]` holds what was planted.

    Raises
    ------
    ValueError
        As :func:`scribe_lines`.
    """
    found, planted = scribe_lines(writers, lines, seed)
    styles = {p["writer"]: {k: v for k, v in p.items() if k != "writer"} for p in planted}
    about = {
        "name": "scribe",
        "origin": "synthetic writers: Hershey letterforms, sigma-lognormal pen movement",
        "licence": "CC0-1.0",
        "seed": seed,
        "styles": styles,
    }
    return build_corpus(found, about=about)
