"""What crosses a boundary between manager, node and caller. Imports nothing of ours."""
