"""Unpacking archives that come from elsewhere: whole, inside the folder, or not at all."""

from __future__ import annotations

import logging
import lzma
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO

__all__ = ["MAX_BYTES", "MAX_MEMBERS", "unpack"]

log = logging.getLogger(__name__)

#: The UNIPEN release has 29,000 files in 0.5 GB; an archive beyond these is none of it.
MAX_MEMBERS = 200_000
MAX_BYTES = 4 * 2**30
_CHUNK = 1 << 18
_BLOCK = tarfile.BLOCKSIZE

Progress = Callable[[int, int], None]


def unpack(archive: Path, folder: Path, progress: Progress | None = None) -> Path:
    """Unpack a tar (plain, gz, xz, bz2) or zip archive to `folder`, whole or not at all.

    Parameters
    ----------
    archive : Path
        The archive; its kind is told by its content.
    folder : Path
        Where to; must not exist, or be empty.
    progress : callable, optional
        Called with (bytes read, bytes of the archive).

    Returns
    -------
    Path
        `folder`.

    Raises
    ------
    ValueError
        If the file is missing, no archive, cut short or damaged, if a member
        would leave the folder or is neither file nor folder, if there is too
        much in it, or if `folder` is taken.
    """
    if not archive.is_file():
        raise ValueError(f"{archive} {'is no file' if archive.exists() else 'does not exist'}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} exists and is not an empty folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        with archive.open("rb") as stream:
            is_zip = stream.read(4) == b"PK\x03\x04"
            stream.seek(0)
            (_unpack_zip if is_zip else _unpack_tar)(archive, stream, temporary, progress)
        if not any(temporary.iterdir()):
            raise ValueError(f"{archive} holds no files")
        # A temporary folder is private; what is unpacked need not be.
        temporary.chmod(0o755)
        os.replace(temporary, folder)
    except _DAMAGE as error:
        reason = str(error).splitlines()[0] if str(error) else "damaged"
        raise ValueError(f"cannot unpack {archive}: {reason}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


#: What the standard library raises on archives that are cut short or damaged.
_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
)


class _Budget:
    """Counts members and bytes, and stops where an archive has too many."""

    def __init__(self, archive: Path) -> None:
        self.archive, self.members, self.bytes = archive, 0, 0

    def spend(self, members: int, size: int) -> None:
        self.members += members
        self.bytes += size
        if self.members > MAX_MEMBERS:
            raise ValueError(f"{self.archive} has more than {MAX_MEMBERS} members")
        if self.bytes > MAX_BYTES:
            raise ValueError(f"{self.archive} unpacks to more than {MAX_BYTES} bytes")


def _check_name(archive: Path, name: str, what: str = "member") -> None:
    path = PurePosixPath(name)
    # Backslashes and colons mean folders and drives on other systems.
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or "\0" in name:
        raise ValueError(f"{archive}: {what} {name!r} points outside the target folder")


def _skip_link(archive: Path, name: str, target: str, *, hard: bool) -> None:
    """Refuse a link that points outside; one that stays inside is left out."""
    here = "" if hard else PurePosixPath(name).parent.as_posix()
    goal = os.path.normpath(os.path.join(here, target))
    _check_name(archive, goal, f"link {name!r} to")
    log.info("left out the link %s", name)


def _unpack_tar(archive: Path, stream: IO[bytes], folder: Path, progress: Progress | None) -> None:
    size = archive.stat().st_size
    budget = _Budget(archive)
    try:
        tar = tarfile.open(fileobj=stream, mode="r:*")  # noqa: SIM115
    except (tarfile.TarError, lzma.LZMAError, EOFError, OSError):
        raise ValueError(f"{archive} is not a tar or zip archive, or is cut short") from None
    with tar:
        for member in tar:
            budget.spend(1, member.size)
            _check_name(archive, member.name)
            if member.issym() or member.islnk():
                _skip_link(archive, member.name, member.linkname, hard=member.islnk())
            elif member.isfile() or member.isdir():
                tar.extract(member, folder, filter="data")
            else:
                raise ValueError(f"{archive}: member {member.name!r} is neither file nor folder")
            if progress:
                progress(stream.tell(), size)
        # An archive cut between two members looks whole but for its end mark;
        # reading on lets the decompressor compare its checksum.
        inner = tar.fileobj
        if inner is None:
            return
        inner.seek(tar.offset)
        if inner.read(_BLOCK) != bytes(_BLOCK):
            raise ValueError(f"cannot unpack {archive}: it is cut short")
        while chunk := inner.read(_CHUNK):
            budget.spend(0, len(chunk))
    if progress:
        progress(size, size)


def _unpack_zip(archive: Path, stream: IO[bytes], folder: Path, progress: Progress | None) -> None:
    size = archive.stat().st_size
    budget = _Budget(archive)
    with zipfile.ZipFile(stream) as source:
        for member in source.infolist():
            budget.spend(1, member.file_size)
            _check_name(archive, member.filename)
            target = folder / member.filename
            mode = member.external_attr >> 16
            if stat.S_ISLNK(mode):
                if member.file_size > 4096:
                    raise ValueError(f"{archive}: link {member.filename!r} is too long")
                goal = source.read(member).decode("utf-8", "replace")
                _skip_link(archive, member.filename, goal, hard=False)
            elif member.is_dir():
                target.mkdir(parents=True, exist_ok=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                with source.open(member) as inside, target.open("xb") as out:
                    shutil.copyfileobj(inside, out, _CHUNK)
            if progress:
                progress(stream.tell(), size)
    if progress:
        progress(size, size)
