"""How the documentation is built: `sphinx-build -W --keep-going -b html docs OUT`. It needs no network."""

import sys
from pathlib import Path

from manystream import __version__

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "manystream"
author = "the manystream authors"
version = release = __version__
copyright = "the manystream authors, MIT licence"

extensions = ["myst_parser", "sphinx.ext.autodoc", "docstrings", "command_line"]
exclude_patterns = ["_build", "_ext"]

html_theme = "furo"
html_title = f"manystream {__version__}"
html_show_sourcelink = False

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
add_module_names = False
