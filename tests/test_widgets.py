"""The widgets as HTML: one ES module each, their options, what they refuse."""

import html.parser
import json
import subprocess
import sys

import pytest

from handtraj.alphabet import UNIPEN_SYMBOLS
from handtraj.widgets import Capture


class _Parts(html.parser.HTMLParser):
    """Every element's name, attributes and text, as a browser takes them apart."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], list[str]]] = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs), []))

    def handle_data(self, data):
        self.found[-1][2].append(data)


def parts(widget):
    parser = _Parts()
    parser.feed(widget._repr_html_())
    parser.close()
    return {tag: (attributes, "".join(text)) for tag, attributes, text in parser.found}


def options(widget):
    """The options handed to the module's `mount`."""
    _, script = parts(widget)["script"]
    last = script.rstrip().splitlines()[-1]
    start = last.index("{")
    return json.loads(last[start : last.rindex("}") + 1])


def test_capture_is_one_element_one_style_and_one_module():
    found = parts(Capture("my own hand"))
    assert set(found) == {"div", "noscript", "style", "script"}
    attributes, script = found["script"]
    assert attributes == {"type": "module"}
    assert f'getElementById("{found["div"][0]["id"]}")' in script
    assert options(Capture("my  own hand")) == {
        "text": "my own hand",
        "height": 220,
        "filename": "handwriting.json",
        "symbols": UNIPEN_SYMBOLS,
    }


def test_captures_in_one_page_have_names_of_their_own():
    names = {parts(Capture())["div"][0]["id"] for _ in range(3)}
    assert len(names) == 3


def test_nothing_in_a_capture_can_end_its_script():
    wide = Capture("a</script>b", symbols=UNIPEN_SYMBOLS + "<>")
    assert wide._repr_html_().count("</script>") == 1
    assert options(wide)["text"] == "a</script>b"


def test_capture_asks_no_host_for_anything():
    source = Capture("x")._repr_html_().replace("http://www.w3.org/2000/svg", "")
    for sign in ("http:", "https:", "//cdn", "import ", "import(", "fetch(", "@import", "url("):
        assert sign not in source, sign


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"text": "naïve"}, "ï"),
        ({"height": 50}, "120 to 1000"),
        ({"filename": "../mine.json"}, "plain file name"),
        ({"filename": ""}, "plain file name"),
    ],
)
def test_capture_says_what_it_refuses(given, message):
    with pytest.raises(ValueError, match=message):
        Capture(**given)


def test_widgets_load_no_notebook():
    code = (
        "import sys, handtraj.widgets;"
        "print(*[m for m in ('IPython', 'ipywidgets', 'anywidget') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
