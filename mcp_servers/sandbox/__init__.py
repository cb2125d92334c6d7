"""The tool server `sandbox`, which runs foreign code. It imports nothing of our other packages."""
