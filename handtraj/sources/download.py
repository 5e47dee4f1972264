"""Getting the UNIPEN release: download, resume, unpack safely, check by content.

The release is one archive of about 160 MB.  Nobody can promise that a mirror
packs it byte for byte alike, so files are checked one by one, after unpacking.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import IO, Any

import pooch
import requests
import urllib3.exceptions

from handtraj.sources.unipen import find_release
from handtraj.sources.unpack import MAX_BYTES, unpack

__all__ = [
    "UNIPEN_URLS",
    "Check",
    "ResumingDownloader",
    "check_release",
    "fetch_unipen",
    "load_manifest",
    "resolve_unipen",
    "unpack",
]

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]

#: Where the release is: the record doi:10.5281/zenodo.1195803, then a mirror
#: with parsing patches.  The environment variable replaces both.
UNIPEN_URLS = (
    "https://zenodo.org/records/1195803/files/unipen-CDROM-train_r01_v07.tgz?download=1",
    "https://github.com/GreenCappuccino/train_r01_v07/archive/HEAD.tar.gz",
)
URL_VARIABLE = "HANDTRAJ_UNIPEN_URL"

_CHUNK = 1 << 18


class _RefusedError(Exception):
    """The server said no; asking again is of no use."""


class ResumingDownloader:
    """A downloader for pooch that goes on where an interrupted one stopped.

    Parameters
    ----------
    part : Path
        Keeps what has arrived; beside it stands a note of the version it is of.
    progress : callable, optional
        Called with (bytes so far, bytes in all or 0).
    timeout : float
        Seconds of silence after which the connection counts as broken.
    """

    def __init__(
        self, part: Path, progress: Progress | None = None, *, timeout: float = 30.0
    ) -> None:
        self.part, self.progress, self.timeout = part, progress, timeout
        self.note = part.with_name(part.name + ".json")

    def __call__(self, url: str, output_file: str | IO[bytes], pooch: object) -> None:
        """Download `url` to `output_file`, a path, as pooch asks."""
        done, note = self._kept(url)
        if not (done and done == note["total"]):
            self._get(url, done, note)
        os.replace(self.part, str(output_file))
        self.forget()

    def forget(self) -> None:
        """Drop what has arrived."""
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def _kept(self, url: str) -> tuple[int, dict[str, Any]]:
        """How many bytes of this version are here, and the note on them."""
        try:
            note = json.loads(self.note.read_text())
            if note["url"] == url and note["version"] and note["total"] >= 0:
                return self.part.stat().st_size, note
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return 0, {}

    def _get(self, url: str, done: int, note: dict[str, Any]) -> None:
        headers = {"Accept-Encoding": "identity"}
        if done:
            headers |= {"Range": f"bytes={done}-", "If-Range": note["version"]}
        with requests.get(url, headers=headers, stream=True, timeout=self.timeout) as response:
            status = response.status_code
            if status == 416:
                self.forget()
                raise requests.ConnectionError("the server has less than was kept; starting anew")
            if 400 <= status < 500 and status not in (408, 429):
                raise _RefusedError(f"{status} {response.reason}")
            response.raise_for_status()
            length = int(response.headers.get("Content-Length") or 0)
            if status == 206:
                start = response.headers.get("Content-Range", "")
                if not start.startswith(f"bytes {done}-") or _version(response) != note["version"]:
                    self.forget()
                    raise requests.ConnectionError("the server sent another part; starting anew")
                log.info("resuming after %d bytes", done)
            else:
                # Bytes go before the note, lest old bytes get a new note.
                self.forget()
                done = 0
                note = {"url": url, "version": _version(response), "total": length}
                self.note.write_text(json.dumps(note))
            self._write(response, done, done + length if length else 0)

    def _write(self, response: requests.Response, done: int, total: int) -> None:
        with self.part.open("ab") as stream:
            try:
                # As sent: some servers call an archive's own gzip an encoding.
                while chunk := response.raw.read(_CHUNK, decode_content=False):
                    stream.write(chunk)
                    done += len(chunk)
                    if done > MAX_BYTES:
                        raise _RefusedError(f"more than {MAX_BYTES >> 30} GiB")
                    if self.progress:
                        self.progress(done, total)
            except urllib3.exceptions.HTTPError as error:
                raise requests.ConnectionError(f"broke off after {done} bytes: {error}") from None
        if total and done != total:
            raise requests.ConnectionError(f"broke off after {done} of {total} bytes")


def _version(response: requests.Response) -> str:
    """What tells one version of a file from another; "" if the server does not say."""
    tag = str(response.headers.get("ETag", ""))
    # A weak tag does not promise the same bytes.
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")


@dataclass(frozen=True)
class Check:
    """How many files of the manifest match, differ, or are missing."""

    matching: int
    different: int
    missing: int


def _short_hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def load_manifest() -> dict[str, str]:
    """Short hashes of the files that the sources use: of the path -> of the content.

    Paths are hashed because some of them hold names of writers.
    """
    data = resources.files("handtraj").joinpath("assets/unipen-manifest.txt.gz").read_bytes()
    return dict(line.split() for line in gzip.decompress(data).decode().splitlines())


def check_release(root: Path, manifest: Mapping[str, str] | None = None) -> Check:
    """Compare the release at `root` (with data/ and include/) with the manifest.

    Files that differ or are missing are logged as a warning, in numbers: a
    patched copy of the release is in use too.

    Raises
    ------
    ValueError
        If not one file is as expected.
    """
    wanted = load_manifest() if manifest is None else manifest
    matching = different = 0
    for part in ("data", "include"):
        for path in (root / part).rglob("*"):
            expected = wanted.get(_short_hash(path.relative_to(root).as_posix().encode()))
            if expected is not None and path.is_file():
                same = _short_hash(path.read_bytes()) == expected
                matching, different = matching + same, different + (not same)
    check = Check(matching, different, len(wanted) - matching - different)
    if not matching:
        raise ValueError(f"{root}: none of {len(wanted)} files is that of UNIPEN train_r01_v07")
    if check.different or check.missing:
        log.warning(
            "UNIPEN: %d files as expected, %d differ, %d are missing; lines may differ from ours",
            *(check.matching, check.different, check.missing),
        )
    return check


def fetch_unipen(
    cache: Path | None = None,
    *,
    base_url: str | None = None,
    progressbar: bool | Progress = True,
    manifest: Mapping[str, str] | None = None,
    retries: int = 3,
) -> Path:
    """Download, unpack and check the release, unless it is in the cache.

    Parameters
    ----------
    cache : Path, optional
        Folder to keep it in; default: the user's cache folder.
    base_url : str, optional
        Address of an archive of the release, or several, separated by blanks
        and tried in order.  Default: the variable HANDTRAJ_UNIPEN_URL, else
        :data:`UNIPEN_URLS`.
    progressbar : bool or callable
        True shows a bar; a callable gets (bytes so far, bytes in all or 0).
    manifest : mapping, optional
        Expected content, as :func:`load_manifest` gives it.
    retries : int
        How often a broken download is taken up again, for every address.

    Returns
    -------
    Path
        The folder it was unpacked to.

    Raises
    ------
    ValueError
        If no address gave the release, with the reason for each.
    """
    home = Path(cache) if cache is not None else Path(pooch.os_cache("handtraj"))
    folder = home / "unipen"
    if folder.is_dir():
        check_release(find_release(folder), manifest)
        return folder
    home.mkdir(parents=True, exist_ok=True)
    given = base_url or os.environ.get(URL_VARIABLE)
    reasons = []
    for url in given.split() if given else UNIPEN_URLS:
        try:
            archive = _download(url, home, progressbar, retries)
            try:
                unpack(archive, folder)
            finally:
                archive.unlink()
            try:
                check_release(find_release(folder), manifest)
            except ValueError:
                shutil.rmtree(folder)
                raise
            return folder
        except (requests.RequestException, ValueError, _RefusedError) as error:
            reasons.append(f"{url}: {' '.join(str(error).split())}")
            log.warning("no UNIPEN release from %s", reasons[-1])
    raise ValueError(
        f"cannot download UNIPEN ({'; '.join(reasons)}); get the archive of "
        f"doi:10.5281/zenodo.1195803 by other means, or set {URL_VARIABLE}"
    )


def _download(url: str, home: Path, progressbar: bool | Progress, retries: int) -> Path:
    # The name tells addresses apart, so that one's part is not taken for another's.
    name = f"unipen-{_short_hash(url.encode())[:8]}.archive"
    bar = None
    progress = progressbar if callable(progressbar) else None
    if progressbar is True:
        from tqdm import tqdm

        bar = tqdm(desc="UNIPEN", unit="B", unit_scale=True)

        def progress(done: int, total: int) -> None:
            bar.total = total or None
            bar.update(done - bar.n)

    try:
        # No hash is known beforehand: the content is checked after unpacking.
        fetcher = pooch.create(
            home, base_url="", registry={name: None}, urls={name: url}, retry_if_failed=retries
        )
        downloader = ResumingDownloader(home / f"{name}.part", progress)
        return Path(fetcher.fetch(name, downloader=downloader))
    finally:
        if bar is not None:
            bar.close()


@contextmanager
def resolve_unipen(
    archive: Path | None,
    *,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Iterator[Path]:
    """Give a folder with the release: from an archive, a folder, or the download.

    An archive is unpacked to a temporary folder, which goes away at the end.
    What the user gives is not refused for its content; a warning tells.

    Raises
    ------
    ValueError
        If there is no such file, it is no archive, or it holds no release.
    """
    if archive is None:
        yield fetch_unipen(cache, progressbar=progress or False)
    elif archive.is_dir():
        _tell(find_release(archive))
        yield archive
    else:
        with tempfile.TemporaryDirectory(prefix="handtraj-") as temporary:
            folder = Path(temporary) / "unipen"
            unpack(archive, folder, progress)
            _tell(find_release(folder))
            yield folder


def _tell(root: Path) -> None:
    try:
        check_release(root)
    except ValueError as error:
        log.warning("%s", error)
