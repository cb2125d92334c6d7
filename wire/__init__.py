"""What crosses a boundary between manager, node and caller. Imports nothing of ours."""

__version__ = "0.1.0"
