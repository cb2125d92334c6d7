"""Renders pages that need a browser: Chromium, behind a proxy of ours, within limits."""
