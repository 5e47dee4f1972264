"""Write the manifest of the UNIPEN files that the sources use.

Usage: python scripts/make_unipen_manifest.py RELEASE [OUT]

RELEASE is an unpacked release (its folder, or up to two levels above it).  A
line of the manifest is "<hash of the path> <hash of the content>", both the
first 16 hex digits of a SHA-256: paths hold names of writers, so none is
written down.
"""

from __future__ import annotations

import gzip
import hashlib
import sys
from pathlib import Path

from handtraj.sources.unipen import SOURCES, find_release
from handtraj.sources.unipen_format import UnipenError, parse_file

OUT = Path(__file__).parents[1] / "handtraj" / "assets" / "unipen-manifest.txt.gz"


def short_hash(data: bytes) -> str:
    """First 16 hex digits of the SHA-256."""
    return hashlib.sha256(data).hexdigest()[:16]


def used_files(root: Path) -> set[Path]:
    """Files of the sources, their twins of words and characters, and what they include."""
    used = set()
    for source in SOURCES:
        for path in (root / "data" / str(source.category) / source.folder).rglob("*.dat"):
            inside = path.relative_to(root / "data" / str(source.category))
            twins = [root / "data" / category / inside for category in ("7", "3")]
            for file in [path, *twins] if source.category == 8 else [path]:
                if file.is_file():
                    used.add(file)
                    try:
                        includes = parse_file(file, root / "include").includes
                    except UnipenError as error:
                        sys.exit(f"cannot parse a file of {source.name}: {error}")
                    used |= {root / "include" / name for name in includes}
    return {path for path in used if path.is_file()}


def main() -> None:
    """Write the manifest."""
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    root = find_release(Path(sys.argv[1]))
    out = Path(sys.argv[2]) if len(sys.argv) == 3 else OUT
    rows = sorted(
        f"{short_hash(path.relative_to(root).as_posix().encode())} {short_hash(path.read_bytes())}"
        for path in used_files(root)
    )
    # Without a time stamp the same release gives the same bytes.
    out.write_bytes(gzip.compress(("\n".join(rows) + "\n").encode(), 9, mtime=0))
    print(f"{out}: {len(rows)} files, {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
