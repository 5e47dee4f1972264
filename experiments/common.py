"""What the experiments share: texts, styles, arguments."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import handtraj as ht
from handtraj.results import save_result

log = logging.getLogger("experiments")

#: Short texts of common letters, about twenty-four characters each.
TEXTS = (
    "the sea was calm that day",
    "she reads another letter",
    "time and tide wait here",
    "a stone on the old path",
    "his horse ran to the hill",
    "we met again in the rain",
    "no other sound was heard",
    "an ordinary street at noon",
    "the lost child smiled on",
    "some tea and toast remain",
    "its roots hold the earth",
    "the train is late as ever",
)
#: Texts long enough to be changed half-way.
LONG_TEXTS = (
    "the old house near the shore stands on a hill of sand",
    "another train leaves this morning and we are all on it",
    "it rained at last and the children ran to the stream",
)


def source_of(style: ht.Style) -> str:
    """Source of the ink a shipped style was primed with: "UNIPEN cec"."""
    return style.source.split(",")[0]


def shipped(writer: ht.Writer, count: int | None = None) -> list[ht.Style]:
    """The shipped styles, or so many of them, those of the commonest sources first."""
    styles = [writer.style(name) for name in ht.shipped_styles()]
    many = {source_of(s): sum(source_of(o) == source_of(s) for o in styles) for s in styles}
    styles.sort(key=lambda s: (-many[source_of(s)], source_of(s), s.name))
    return styles[:count]


def parser(description: str) -> argparse.ArgumentParser:
    """Arguments that every experiment has."""
    found = argparse.ArgumentParser(description=description)
    found.add_argument("-o", "--out", help="where the result goes; default: into the package")
    found.add_argument("--seed", type=int, default=0)
    found.add_argument("--reduced", action="store_true", help="a small version, for tests")
    return found


class Clock:
    """Says how long each part took."""

    def __init__(self) -> None:
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        self.begun = self.last = time.monotonic()

    def __call__(self, part: str) -> None:
        """A part is done."""
        now = time.monotonic()
        log.info("%-44s %6.1f s, %6.1f s in all", part, now - self.last, now - self.begun)
        self.last = now

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self.begun


def command(script: str, arguments: Sequence[str]) -> str:
    """What was typed, without folders."""
    words = []
    for word in arguments:
        name, equals, path = word.rpartition("=")
        words.append(f"{name}{equals}{Path(path).name}")
    return " ".join(["python", f"experiments/{Path(script).name}", *words])


def keep(
    name: str,
    result: Mapping[str, Any],
    arguments: argparse.Namespace,
    clock: Clock,
    *,
    weights: str,
    packages: Sequence[str] = (),
) -> None:
    """Save what an experiment found, under its name or where the arguments say."""
    save_result(
        arguments.out or name,
        result,
        command=command(sys.argv[0], sys.argv[1:]),
        seed=arguments.seed,
        weights=weights,
        seconds=clock.seconds,
        packages=packages,
    )
