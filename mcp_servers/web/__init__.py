"""The tool server `web`: search, read pages, find what an agent asks of them."""
