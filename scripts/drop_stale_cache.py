"""Drop the cache of executed chapters when the library they import has changed.

The cache is keyed on the notebooks alone; a chapter would go on showing what
an older library computed.
"""

import hashlib
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "_build"


def fingerprint() -> str:
    """Hash of everything a chapter's output depends on, but the chapter."""
    digest = hashlib.sha256()
    files = [p for p in (ROOT / "handtraj").rglob("*") if p.is_file() and p.suffix != ".pyc"]
    for path in sorted([*files, ROOT / "constraints.txt"]):
        digest.update(str(path.relative_to(ROOT)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def main() -> None:
    """Compare with the last build; forget its outputs if anything differs."""
    mark = BUILD / ".library"
    now = fingerprint()
    if mark.is_file() and mark.read_text() == now:
        return
    shutil.rmtree(BUILD / ".jupyter_cache", ignore_errors=True)
    BUILD.mkdir(exist_ok=True)
    mark.write_text(now)


if __name__ == "__main__":
    main()
