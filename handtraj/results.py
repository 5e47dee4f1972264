"""Results of experiments: small JSON files that say how they came about.

Experiments write them with :func:`save_result`; the book reads them with
:func:`load_result`.  Every file holds, under "about", the command, the seed, the
commit, the weights, the date, the kind of machine and the versions of packages.
"""

from __future__ import annotations

import json
import math
import os
import platform
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import numpy as np
import torch

from handtraj.ink import replace_file
from handtraj.training import describe_machine

__all__ = ["load_result", "provenance", "result_names", "save_result"]

#: Packages whose versions are noted with every result.
PACKAGES = ("handtraj", "numpy", "scikit-learn", "scipy", "torch")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*$")


def save_result(
    name_or_path: str | os.PathLike[str],
    data: Mapping[str, Any],
    *,
    command: str,
    seed: int,
    weights: str,
    seconds: float | None = None,
    packages: Sequence[str] = (),
    device: str = "cpu",
    digits: int = 6,
) -> Path:
    """Write a result with its provenance, whole or not at all.

    Parameters
    ----------
    name_or_path : str or path
        A name of small letters, digits, - and _ goes into the package, where
        :func:`load_result` finds it; anything with a folder or ending in
        .json is a file of that path.
    data : mapping
        What was found: mappings with str keys, sequences, numbers, text, None;
        numpy arrays and scalars become lists and numbers.
    command, seed, weights, seconds, packages, device
        As for :func:`provenance`.
    digits : int
        Significant digits that stay of floating-point numbers.

    Returns
    -------
    Path
        Where the file lies.

    Raises
    ------
    ValueError
        If the name is unusable, the data holds a key "about", a value that
        JSON has no form for, or a number that is not finite.
    """
    path = _place(name_or_path)
    if "about" in data:
        raise ValueError('the key "about" is kept for the provenance; rename it in the data')
    about = provenance(
        command=command,
        seed=seed,
        weights=weights,
        seconds=seconds,
        packages=packages,
        device=device,
    )
    document = {"about": about, **_plain(data, digits, "data")}
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ": "))
    if path.parent == _folder():
        path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, lambda stream: stream.write(text.encode() + b"\n"))
    return path


def load_result(name: str) -> dict[str, Any]:
    """Read a result that comes with the package; its provenance is under "about".

    Raises
    ------
    ValueError
        If there is none of that name; the message lists those there are.
    """
    there = result_names()
    if name not in there:
        raise ValueError(f"no result {name!r}; there are: {', '.join(there) or 'none'}")
    place = resources.files("handtraj") / "assets" / "results" / f"{name}.json"
    document = json.loads(place.read_text(encoding="utf-8"))
    if not isinstance(document, dict):
        raise ValueError(f"result {name!r} holds a {type(document).__name__}, not an object")
    return document


def result_names() -> list[str]:
    """Names of the results that come with the package, sorted."""
    folder = resources.files("handtraj") / "assets" / "results"
    if not folder.is_dir():
        return []
    return sorted(f.name.removesuffix(".json") for f in folder.iterdir() if _is_result(f.name))


def provenance(
    *,
    command: str,
    seed: int,
    weights: str,
    seconds: float | None = None,
    packages: Sequence[str] = (),
    device: str = "cpu",
) -> dict[str, Any]:
    """Where a result comes from.

    Parameters
    ----------
    command : str
        What makes the result again, as typed in the project's folder.
    seed : int
    weights : str
        Fingerprint of the network (`writer.fingerprint`); "" without one.
    seconds : float, optional
        How long it took.
    packages : sequence of str
        Packages whose versions matter beside :data:`PACKAGES`.
    device : str
        The torch device that did the work.

    Returns
    -------
    dict
        Those, and: "commit", with "+changes" where files differ from it and ""
        outside of the project's repository; "date" (UTC); "machine", a kind
        without a name; "python"; "packages", versions by name.
    """
    about: dict[str, Any] = {
        "command": command,
        "seed": seed,
        "commit": _commit(),
        "weights": weights,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": describe_machine(torch.device(device)),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in sorted({*PACKAGES, *packages})},
    }
    if seconds is not None:
        about["seconds"] = round(float(seconds), 1)
    return about


def _folder() -> Path:
    return Path(str(resources.files("handtraj") / "assets" / "results"))


def _is_result(file: str) -> bool:
    return file.endswith(".json") and bool(_NAME.match(file.removesuffix(".json")))


def _place(name_or_path: str | os.PathLike[str]) -> Path:
    given = os.fspath(name_or_path)
    if given.endswith(".json") or Path(given).name != given:
        return Path(given)
    if not _NAME.match(given):
        raise ValueError(
            f"the name of a result has small letters, digits, - and _, got {given!r}; "
            "give such a name, or a path ending in .json"
        )
    return _folder() / f"{given}.json"


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    """The commit checked out; results themselves are no changes to it."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return ""
    commands = (
        ["rev-parse", "HEAD"],
        ["status", "--porcelain", "--", ".", ":(exclude)handtraj/assets/results"],
    )
    answers = []
    for words in commands:
        try:
            run = subprocess.run(
                # Looking must not lock the index of somebody at work.
                ["git", "--no-optional-locks", "-C", str(root), *words],
                capture_output=True,
                text=True,
                check=True,
                timeout=60,
            )
        except (OSError, subprocess.SubprocessError):
            return ""
        answers.append(run.stdout.strip())
    return answers[0] + ("+changes" if answers[1] else "")


def _plain(value: Any, digits: int, where: str) -> Any:
    """What JSON can hold, with so many significant digits."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(v, digits, f"{where}.{key}") for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v, digits, f"{where}[{i}]") for i, v in enumerate(value)]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{where} is {value}, which JSON cannot hold; use None")
        return float(f"{value:.{digits}g}")
    if value is None or isinstance(value, bool | int | str):
        return value
    raise ValueError(f"{where} is a {type(value).__name__}; give numbers, text, lists and mappings")
