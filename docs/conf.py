"""How Sphinx builds the book: Markdown by MyST, the theme furo, figures by Graphviz.

Nothing is fetched from elsewhere, neither when it is built nor when it is read.
"""

import subprocess
from pathlib import Path

from sphinx.application import Sphinx

project = "knetlab"
html_title = "knetlab"
copyright = "knetlab's authors"  # noqa: A001 - Sphinx's name
extensions = ["myst_parser"]
exclude_patterns = ["students/examples", "_static"]
nitpicky = True

# make docs LANGUAGE=zh_CN; tools/catalogues.py keeps the catalogues in step
locale_dirs = ["locale"]
gettext_compact = False
gettext_uuid = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_copy_source = False
html_show_copyright = False
pygments_style = "default"

linkcheck_timeout = 20
linkcheck_retries = 2

FIGURES = Path(__file__).parent / "figures"


def draw_figures(_: Sphinx) -> None:
    """Make an SVG beside each figures/*.dot; pages show it as they show any image."""
    for source in sorted(FIGURES.glob("*.dot")):
        drawn = subprocess.run(["dot", "-Tsvg", source], check=True, stdout=subprocess.PIPE)
        target = source.with_suffix(".svg")
        if not target.exists() or target.read_bytes() != drawn.stdout:
            target.write_bytes(drawn.stdout)


def setup(app: Sphinx) -> None:
    """Let the figures be drawn before pages are read."""
    app.connect("builder-inited", draw_figures)
