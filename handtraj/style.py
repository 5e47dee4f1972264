"""A style: the state of the network after it was primed with a piece of handwriting."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

import torch
from platformdirs import user_data_path

from handtraj.checkpoint import CheckpointError, read_tensors, write_tensors
from handtraj.network import State

__all__ = ["Style", "load_style", "shipped_styles", "user_styles"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}$")


@dataclass(frozen=True, eq=False)
class Style:
    """A primed state with a name.

    Parameters
    ----------
    name : str
        Letters, digits, - and _.
    state : State
        One row (B = 1), after the last point of the prime.
    text : str
        What the window still sees of the prime's text, with the blank that
        separates it from the new text.
    points : int
        Length of the prime.
    source : str
        Where the prime came from.
    weights : str
        Fingerprint of the network that was primed; a state means nothing to
        another one.

    Raises
    ------
    ValueError
        If the name is unusable or the state is not a single row.
    """

    name: str
    state: State
    text: str
    points: int
    source: str = ""
    weights: str = ""

    def __post_init__(self) -> None:
        if not _NAME.match(self.name):
            raise ValueError(
                f"style name must be 1 to 40 letters, digits, - or _, got {self.name!r}"
            )
        if self.state.kappa.shape[0] != 1:
            raise ValueError(f"a style holds one state, got {self.state.kappa.shape[0]}")

    def shortened(self, keep: int = 10) -> Style:
        """The same style with only the last `keep` characters of its text.

        The window has left the rest behind; positions are shifted to match.
        """
        cut = max(0, len(self.text) - keep)
        state = replace(self.state, kappa=self.state.kappa - cut)
        return replace(self, state=state, text=self.text[cut:])

    @staticmethod
    def mix(a: Style, b: Style, t: float, *, name: str = "") -> Style:
        """The state on the straight line from `a` (t = 0) to `b` (t = 1).

        Positions of the window are counted from the end of each prime's text,
        so that both ends speak of the same place; the text kept is that of the
        nearer style.  At 0 and 1 the state is exactly that of `a` and of `b`.

        Parameters
        ----------
        a, b : Style
            Primed with the same weights.
        t : float
            In [0, 1].
        name : str, optional
            Default: both names, shortened, and the percentage of `b`.

        Raises
        ------
        ValueError
            If `t` is outside [0, 1] or the styles belong to different weights.
        """
        if not 0 <= t <= 1:
            raise ValueError(f"t must be in [0, 1], got {t}")
        if a.weights != b.weights or a.state.h.shape != b.state.h.shape:
            raise ValueError(
                f"styles {a.name!r} and {b.name!r} were primed with different weights "
                f"({a.weights or 'unknown'}, {b.weights or 'unknown'}); prime both with the same"
            )
        near = a if t < 0.5 else b
        one, two = a.state, b.state
        state = State(
            torch.lerp(one.h, two.h, t),
            torch.lerp(one.c, two.c, t),
            torch.lerp(one.window, two.window, t),
            torch.lerp(one.kappa - len(a.text), two.kappa - len(b.text), t) + len(near.text),
        )
        if t in (0, 1):
            state = near.state
        percent = round(100 * t)
        return Style(
            name or f"{a.name[:17]}-{b.name[:17]}-{percent}",
            state,
            near.text,
            near.points,
            f"{100 - percent} % {a.name}, {percent} % {b.name}",
            a.weights,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one safetensors file (about 10 kB); it round-trips exactly."""
        state = self.state
        write_tensors(
            path,
            {"h": state.h, "c": state.c, "window": state.window, "kappa": state.kappa},
            {
                "kind": "style",
                "version": 1,
                "name": self.name,
                "text": self.text,
                "points": self.points,
                "source": self.source,
                "weights": self.weights,
            },
        )


def load_style(path: str | os.PathLike[str]) -> Style:
    """Read a style file.

    Raises
    ------
    CheckpointError
        If the file is missing, cut short, or holds something else.
    """
    tensors, about = read_tensors(path)
    if about.get("kind") != "style" or about.get("version") != 1:
        raise CheckpointError(f"{path} holds {about.get('kind')!r}, expected a style of version 1")
    try:
        state = State(*(tensors[name] for name in ("h", "c", "window", "kappa")))
        return Style(
            about["name"], state, about["text"], about["points"], about["source"], about["weights"]
        )
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{path} is a broken style file: {error}") from None


def shipped_styles() -> dict[str, Path]:
    """Names and files of the styles that come with the package."""
    folder = Path(str(resources.files("handtraj") / "assets" / "styles"))
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


def user_styles() -> dict[str, Path]:
    """Names and files of the styles the user added, in :func:`user_folder`."""
    return {path.stem: path for path in sorted(user_folder().glob("*.safetensors"))}


def user_folder() -> Path:
    """Where the user's styles lie: $HANDTRAJ_STYLES, or the system's place for data."""
    chosen = os.environ.get("HANDTRAJ_STYLES")
    return Path(chosen) if chosen else user_data_path("handtraj") / "styles"
