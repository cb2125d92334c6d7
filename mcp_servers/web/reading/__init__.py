"""Turns the bytes of a document into a Page. It fetches nothing."""
