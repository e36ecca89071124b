"""Sphinx settings of the course site; `docs/build.py` gathers the pages and calls Sphinx."""

project = "SCGAN, replicated"
author = "the SCGAN replication"
extensions = ["myst_nb"]
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # the chapters arrive executed
nb_ipywidgets_js = {}  # no widget manager from a foreign host: the sliders bring their own script
nb_merge_streams = True
nb_render_markdown_format = "myst"  # tables and formulas that a cell displays
exclude_patterns = ["results.md"]  # part of the first page
suppress_warnings = ["mystnb.unknown_mime_type", "myst.header"]
html_theme = "sphinx_book_theme"
html_title = project
html_static_path = []  # docs/build.py gives the folder with mathjax and site.css
html_css_files = ["site.css"]
html_js_files = ["site.js"]
mathjax_path = "mathjax/tex-svg.js"
html_theme_options = {
    "use_download_button": True,
    "show_toc_level": 2,
    "navbar_persistent": [],  # the sidebar has the search already
}
html_copy_source = True
html_show_sphinx = False
html_context = {"default_mode": "auto"}
