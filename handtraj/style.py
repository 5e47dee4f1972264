"""A style: the state of the network after it was primed with a piece of handwriting."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

from handtraj.checkpoint import CheckpointError, read_tensors, write_tensors
from handtraj.network import State

__all__ = ["Style", "load_style", "shipped_styles"]

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
