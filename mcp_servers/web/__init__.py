"""The tool server `web`: search, read, extract."""
