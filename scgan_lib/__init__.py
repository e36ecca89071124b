"""SCGAN, replicated: a thin library under a course. Start with `networks` and `losses`."""

__version__ = "0.1.0"
