"""Downloading and unpacking, against a server and archives of the tests' own."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import logging
import os
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from handtraj.sources import unpack as unpack_module
from handtraj.sources.download import (
    URL_VARIABLE,
    ResumingDownloader,
    check_release,
    fetch_unipen,
    load_manifest,
    resolve_unipen,
)
from handtraj.sources.unpack import unpack

FILES = {
    "train/data/7/kar/w.dat": b".INCLUDE kar/w.dat\n",
    # Big and not compressible, so that a download has a middle.
    "train/include/kar/w.dat": os.urandom(300_000),
}


def tar_of(files, mode="w:gz"):
    """Archive bytes of {name: content}."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def tar_with(member, content=b""):
    """An archive of one odd member."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def zip_of(files):
    """Zip bytes of {name or ZipInfo: content}."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def short(data):
    """The hash of the manifest."""
    return hashlib.sha256(data).hexdigest()[:16]


MANIFEST = {short(n.removeprefix("train/").encode()): short(c) for n, c in FILES.items()}


class Handler(BaseHTTPRequestHandler):
    """Serves one archive: the first `breaks` answers stop half way."""

    def do_GET(self):
        server = self.server
        server.requests.append((self.path, self.headers.get("Range")))
        if self.path.startswith("/missing"):
            self.send_error(404)
            return
        data, start = server.data, 0
        wanted = self.headers.get("Range")
        fresh = self.headers.get("If-Range") == server.tag
        if server.ranges and wanted and fresh:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("ETag", server.tag)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        body = data[start:]
        if server.breaks:
            server.breaks -= 1
            body = body[: len(body) // 2]
            if server.changes:
                server.data, server.tag = server.changes.pop()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *args):
        """Keep quiet."""


@pytest.fixture
def server(monkeypatch):
    """A server on this machine, with the archive above."""
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.data, server.tag = tar_of(FILES), '"one"'
        server.ranges, server.breaks, server.changes, server.requests = True, 0, [], []
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def fetch(server, folder, path="/a.tgz", **options):
    """Fetch from the server into a cache below `folder`."""
    urls = " ".join(server.url + p for p in path.split())
    options = {"progressbar": False, "manifest": MANIFEST, **options}
    return fetch_unipen(folder / "cache", base_url=urls, **options)


def contents(folder):
    """All files below a folder."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def test_download_gives_the_release_and_keeps_nothing_else(server, tmp_path):
    """The files, no archive, no part; the second time asks nobody."""
    seen = []
    folder = fetch(server, tmp_path, progressbar=lambda *a: seen.append(a))
    assert contents(folder) == FILES
    assert list((tmp_path / "cache").iterdir()) == [folder]
    assert seen[-1] == (len(server.data), len(server.data))
    assert fetch(server, tmp_path) == folder
    assert len(server.requests) == 1


def test_broken_download_is_resumed_where_it_stopped(server, tmp_path):
    """Twice cut, and every byte sent once."""
    server.breaks = 2
    assert contents(fetch(server, tmp_path)) == FILES
    half = len(server.data) // 2
    starts = [r for _, r in server.requests]
    assert starts[0] is None
    assert starts[1] == f"bytes={half}-"
    assert int(starts[2].removeprefix("bytes=").rstrip("-")) > half


def test_a_later_run_resumes_too(server, tmp_path):
    """The part survives a run that gave up."""
    server.breaks = 1
    with pytest.raises(ValueError, match="broke off"):
        fetch(server, tmp_path, retries=0)
    assert contents(fetch(server, tmp_path)) == FILES
    assert server.requests[1][1] == f"bytes={len(server.data) // 2}-"


def test_server_without_ranges_starts_anew(server, tmp_path):
    """An answer 200 replaces what was kept."""
    server.breaks, server.ranges = 1, False
    assert contents(fetch(server, tmp_path)) == FILES
    assert len(server.requests) == 2


def test_a_file_that_changed_meanwhile_is_not_glued(server, tmp_path):
    """Another ETag: all of the new version, none of the old."""
    server.breaks, server.changes = 1, [(tar_of(FILES, "w:xz"), '"two"')]
    assert contents(fetch(server, tmp_path)) == FILES


def test_second_address_is_tried_when_the_first_fails(server, tmp_path, caplog):
    """A 404 is not asked for twice."""
    folder = fetch(server, tmp_path, "/missing.tgz /a.tgz")
    assert contents(folder) == FILES
    assert [p for p, _ in server.requests] == ["/missing.tgz", "/a.tgz"]
    assert "404" in caplog.text


def test_environment_gives_the_address(server, tmp_path, monkeypatch):
    """The variable replaces the built-in addresses."""
    monkeypatch.setenv(URL_VARIABLE, server.url + "/mine.tgz")
    fetch_unipen(tmp_path, progressbar=False, manifest=MANIFEST)
    assert server.requests[0][0] == "/mine.tgz"


def test_failure_names_every_address_in_one_line(server, tmp_path):
    """And what to do instead; nothing stays behind."""
    with pytest.raises(ValueError, match=r"missing1.*404.*missing2.*404.*HANDTRAJ") as error:
        fetch(server, tmp_path, "/missing1 /missing2")
    assert "\n" not in str(error.value)
    assert not contents(tmp_path)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (tar_of({"train/data/x": b"1", "train/include/y": b"2"}), "none of 2 files"),
        (tar_of({"other/x": b"1"}), "no UNIPEN release"),
        (b"<html>sign in</html>", "not a tar or zip archive"),
    ],
)
def test_wrong_content_is_refused_and_removed(server, tmp_path, data, match):
    """Another release, another archive, a web page."""
    server.data = data
    with pytest.raises(ValueError, match=match):
        fetch(server, tmp_path)
    assert not contents(tmp_path)


def test_differences_are_counted_and_warned_of(tmp_path, caplog):
    """One file as expected, one changed, one missing."""
    release = unpack_bytes(tar_of(FILES), tmp_path) / "train"
    (release / "data/7/kar/w.dat").write_text("patched")
    check = check_release(release, {**MANIFEST, "0" * 16: "1" * 16})
    assert (check.matching, check.different, check.missing) == (1, 1, 1)
    assert "1 differ, 1 are missing" in caplog.text


def test_silence_counts_as_broken(server, tmp_path):
    """A downloader does not wait for ever."""
    part = tmp_path / "x.part"
    downloader = ResumingDownloader(part)
    downloader(server.url + "/a", str(tmp_path / "out"), None)
    assert (tmp_path / "out").read_bytes() == server.data
    assert downloader.timeout <= 60
    assert not part.exists()


def test_manifest_holds_hashes_only():
    """Thousands of pairs of 16 hex digits, in less than 300 kB."""
    manifest = load_manifest()
    assert len(manifest) > 5000
    assert all(len(t) == 16 and int(t, 16) >= 0 for pair in manifest.items() for t in pair)
    assert len(gzip.compress(json.dumps(manifest).encode())) < 300_000


@pytest.mark.slow
def test_manifest_fits_the_real_release(unipen_folder, caplog):
    """Every file as expected, and no warning."""
    with caplog.at_level(logging.WARNING), resolve_unipen(unipen_folder) as folder:
        assert folder == unipen_folder
    assert not caplog.text


def unpack_bytes(data, tmp_path, **options):
    """Unpack archive bytes to tmp_path / "out"."""
    archive = tmp_path / "archive"
    archive.write_bytes(data)
    return unpack(archive, tmp_path / "out", **options)


@pytest.mark.parametrize(
    "data",
    [*(tar_of(FILES, f"w:{kind}") for kind in ("", "gz", "xz", "bz2")), zip_of(FILES)],
    ids=["tar", "gz", "xz", "bz2", "zip"],
)
def test_unpack_reads_every_kind(data, tmp_path):
    """Told by content, not by name; progress ends at the end."""
    seen = []
    assert contents(unpack_bytes(data, tmp_path, progress=lambda *a: seen.append(a))) == FILES
    assert seen[-1] == (len(data), len(data))


@pytest.mark.parametrize("kind", ["", "gz", "xz", "bz2", "zip"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.98, 1.0])
def test_truncated_archives_are_refused(kind, share, tmp_path):
    """Cut anywhere, even in the trailer; nothing is left."""
    data = zip_of(FILES) if kind == "zip" else tar_of(FILES, f"w:{kind}")
    # A plain tar ends in zeros that belong to nobody: cut before them.
    end = 512 * (3 + -(-300_000 // 512)) if kind == "" else len(data) - 3
    refuse(data[: min(int(share * len(data)), end)], tmp_path, r"cut short|cannot unpack")


def refuse(data, tmp_path, match):
    """One ValueError of one line, and nothing left behind."""
    with pytest.raises(ValueError, match=match) as error:
        unpack_bytes(data, tmp_path)
    assert "\n" not in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == ["archive"]


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/tmp/evil", "C:\\evil", "a\\..\\b"])
@pytest.mark.parametrize("make", [tar_of, zip_of], ids=["tar", "zip"])
def test_paths_that_climb_out_are_refused(make, name, tmp_path):
    """After a good member, too."""
    refuse(make({"good": b"1", name: b"2"}), tmp_path, "outside the target folder")
    assert not (tmp_path.parent / "evil").exists()


@pytest.mark.parametrize("target", ["/etc/passwd", "../../x", "a/../../../x"])
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_links_outside_are_refused(kind, target, tmp_path):
    """Symbolic and hard ones."""
    member = tarfile.TarInfo("dir/link")
    member.type, member.linkname = kind, target
    refuse(tar_with(member), tmp_path, "link 'dir/link' to .* outside")


def test_links_inside_are_left_out(tmp_path):
    """The release needs none."""
    stream = io.BytesIO(tar_of({"a/file": b"1"}, "w:"))
    member = tarfile.TarInfo("a/link")
    member.type, member.linkname = tarfile.SYMTYPE, "file"
    with tarfile.open(fileobj=stream, mode="a") as tar:
        tar.addfile(member)
    assert contents(unpack_bytes(stream.getvalue(), tmp_path)) == {"a/file": b"1"}


def test_zip_links_outside_are_refused(tmp_path):
    """A link in a zip is a file with a mode."""
    info = zipfile.ZipInfo("link")
    info.create_system = 3
    info.external_attr = 0o120777 << 16
    refuse(zip_of({info: b"../../x"}), tmp_path, "link 'link' to .* outside")


def test_devices_are_refused(tmp_path):
    """Neither file nor folder."""
    member = tarfile.TarInfo("fifo")
    member.type = tarfile.FIFOTYPE
    refuse(tar_with(member), tmp_path, "neither file nor folder")


@pytest.mark.parametrize("make", [tar_of, zip_of], ids=["tar", "zip"])
def test_archives_that_unpack_to_too_much_are_refused(make, tmp_path, monkeypatch):
    """By bytes and by members."""
    monkeypatch.setattr(unpack_module, "MAX_BYTES", 10_000)
    refuse(make({"zeros": bytes(20_000)}), tmp_path, "unpacks to more than")
    monkeypatch.setattr(unpack_module, "MAX_MEMBERS", 3)
    refuse(make({f"f{k}": b"" for k in range(5)}), tmp_path, "more than 3 members")


@pytest.mark.parametrize("data", [b"", b"hello", b"PK\x03\x04 and more", b"\x1f\x8b and more"])
def test_files_that_are_no_archive_are_refused(data, tmp_path):
    """Nothing, text, and pretenders."""
    refuse(data, tmp_path, "archive")


def test_an_archive_without_files_is_refused(tmp_path):
    """There is nothing to read."""
    refuse(tar_of({}), tmp_path, "holds no files|cut short|not a tar")


def test_a_target_in_use_is_left_alone(tmp_path):
    """What is in it stays; an empty one is taken."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("1")
    with pytest.raises(ValueError, match="not an empty folder"):
        unpack_bytes(tar_of(FILES), tmp_path)
    assert contents(tmp_path / "out") == {"mine": b"1"}
    (tmp_path / "out" / "mine").unlink()
    assert contents(unpack_bytes(tar_of(FILES), tmp_path)) == FILES


def test_resolve_takes_archives_and_folders(tmp_path, caplog):
    """A temporary folder goes away; the user's own stays; other content is warned of."""
    archive = tmp_path / "a.tgz"
    archive.write_bytes(tar_of(FILES))
    with resolve_unipen(archive) as folder:
        assert contents(folder) == FILES
    assert not folder.exists()
    assert "none of" in caplog.text
    kept = unpack(archive, tmp_path / "kept")
    with resolve_unipen(kept) as folder:
        assert folder == kept
    assert contents(kept) == FILES


def test_resolve_refuses_what_holds_no_release(tmp_path):
    """No such file, an empty folder."""
    for path, match in ((tmp_path / "none", "does not exist"), (tmp_path, "no UNIPEN release")):
        with pytest.raises(ValueError, match=match), resolve_unipen(path):
            pass
