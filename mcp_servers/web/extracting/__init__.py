"""Finds in a page what was asked for: its best passages, and what a model makes of them."""
