"""Fill book/_static/vendor with the browser files that the site serves itself.

Vega comes out of vl-convert, MathJax out of the package sphinx-mathjax-offline;
both are installed with the extra "book".  Nothing here reaches the network and
nothing it writes is committed.
"""

import json
import shutil
from importlib import metadata
from pathlib import Path

import vl_convert
from altair.utils._importers import vl_version_for_vl_convert
from altair.vegalite.v6 import display

VENDOR = Path(__file__).resolve().parent.parent / "book" / "_static" / "vendor"
VEGA_PARTS = "window.handtrajVega = {vega, vegaLite, vegaEmbed};"


def write_vega(folder: Path) -> None:
    """Write the Vega bundle, and the versions that Altair's output asks for."""
    folder.mkdir(parents=True, exist_ok=True)
    bundle = vl_convert.javascript_bundle(VEGA_PARTS, vl_version=vl_version_for_vl_convert())
    # The bundle's short top-level names must not become globals of the page.
    (folder / "vega-bundle.js").write_text(f'(function(){{"use strict";{bundle}}})();\n')
    versions = {
        "vega_version": display.VEGA_VERSION,
        "vegalite_version": display.VEGALITE_VERSION,
        "vegaembed_version": display.VEGAEMBED_VERSION,
    }
    (folder / "vega-versions.js").write_text(f"window.VEGA_DEBUG = {json.dumps(versions)};\n")


def write_mathjax(folder: Path) -> None:
    """Copy the one MathJax component the pages load, and its fonts."""
    wanted = ("tex-mml-chtml.js", "output/chtml/fonts/woff-v2/")
    found = 0
    for file in metadata.files("sphinx-mathjax-offline") or []:
        _, mark, name = str(file).replace("\\", "/").partition("static/mathjax/")
        if mark and name.startswith(wanted):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.locate(), target)
            found += 1
    if found < len(wanted):
        raise SystemExit("sphinx-mathjax-offline does not hold the expected MathJax files")


def main() -> None:
    """Write everything, unless it is there for the installed versions."""
    stamp = VENDOR / "versions.json"
    versions = {
        name: metadata.version(name)
        for name in ("altair", "vl-convert-python", "sphinx-mathjax-offline")
    }
    if stamp.is_file() and json.loads(stamp.read_text()) == versions:
        return
    shutil.rmtree(VENDOR, ignore_errors=True)
    write_vega(VENDOR)
    write_mathjax(VENDOR / "mathjax")
    stamp.write_text(json.dumps(versions))


if __name__ == "__main__":
    main()
