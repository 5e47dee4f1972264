"""Compiles the C++ sources once a machine, if there is a C++ compiler."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import subprocess
import tempfile
from functools import cache
from importlib import resources
from pathlib import Path

import torch
from platformdirs import user_cache_path

__all__ = ["CompilerError", "compiled_already", "compiled_layers"]

log = logging.getLogger(__name__)
_SOURCES = ("scan.cpp", "step.cpp")
_HEADERS = ("common.h",)
#: What the compiler may use, by what torch itself uses on this processor.
_VECTORS = {
    "AVX512": "-mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mf16c "
    "-mprefer-vector-width=512 -DCPU_CAPABILITY=AVX512 -DCPU_CAPABILITY_AVX512",
    "AVX2": "-mavx2 -mfma -mf16c -DCPU_CAPABILITY=AVX2 -DCPU_CAPABILITY_AVX2",
}


class CompilerError(RuntimeError):
    """The compiled layers are not to be had here; the message says why."""


@cache
def compiled_layers() -> None:
    """Make ``torch.ops.handtraj`` available, compiling it if need be.

    The library is kept in the user's cache folder, under a name that tells
    sources, torch and processor apart, and is put there whole.

    Raises
    ------
    CompilerError
        If there is no C++ compiler, or it fails; `CXX` names another one.
    """
    library, flags = _library()
    if not library.is_file():
        with resources.as_file(resources.files("handtraj") / "native") as folder:
            _compile(folder, flags, library)
    try:
        torch.ops.load_library(str(library))
    except OSError as error:
        raise CompilerError(f"{library} cannot be loaded: {error}") from None


def compiled_already() -> bool:
    """Load what :func:`compiled_layers` left on this machine, and say if it was there."""
    try:
        if not _library()[0].is_file():
            return False
        compiled_layers()
    except (CompilerError, OSError):
        return False
    return True


def _library() -> tuple[Path, tuple[str, ...]]:
    """Where the library of these sources, this torch and this processor lies; flags."""
    folder = resources.files("handtraj") / "native"
    text = b"".join((folder / name).read_bytes() for name in (*_SOURCES, *_HEADERS))
    flags: tuple[str, ...] = (
        "-std=c++20",
        "-O3",
        "-fPIC",
        "-fno-math-errno",
        "-fopenmp",
        "-shared",
    )
    flags += tuple(_VECTORS.get(torch.backends.cpu.get_cpu_capability(), "").split())
    key = hashlib.sha256(text + " ".join([torch.__version__, *flags]).encode()).hexdigest()[:16]
    return user_cache_path("handtraj") / f"scan-{key}.so", flags


def _compile(sources: Path, flags: tuple[str, ...], library: Path) -> None:
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if not compiler:
        raise CompilerError("no C++ compiler (c++, g++, or what CXX names)")
    home = Path(torch.__file__).parent
    log.info("compiling the recurrent layers, once for this machine")
    try:
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=library.parent) as folder:
            out = Path(folder) / library.name
            command = [compiler, *flags, f"-I{home / 'include'}", "-o", str(out)]
            command += [str(sources / name) for name in _SOURCES]
            command += [f"-L{home / 'lib'}", "-ltorch_cpu", "-lc10"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                reason = next((r for r in done.stderr.splitlines() if "error" in r), done.stderr)
                raise CompilerError(f"{compiler} failed: {reason.strip()[:300]}")
            out.replace(library)
    except OSError as error:
        raise CompilerError(f"the layers could not be compiled: {error}") from None
