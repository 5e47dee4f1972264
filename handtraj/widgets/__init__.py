"""Parts of a page that react: each is an object a notebook shows, and one ES module.

They need no kernel, ask no other host for anything, and bring their own
styles, so that they work alike in a notebook and in a page made from one.
"""

from handtraj.widgets.capture import Capture

__all__ = ["Capture"]
