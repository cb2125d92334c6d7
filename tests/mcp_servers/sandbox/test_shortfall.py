"""What people are told where the kernel allows less than the best level."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcp_servers.sandbox.levels.shortfall import CURES, shortfall


def kernel(folder: Path, **values: str) -> Path:
    """Return a folder in which the kernel's settings have these values; none keeps users out."""
    for name, bad, good in CURES:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(values.get(path.name, "1" if bad == "0" else good) + "\n")
    return folder


@pytest.mark.parametrize(("name", "bad", "good"), CURES)
def test_the_setting_that_keeps_users_out_is_named(
    tmp_path: Path, name: str, bad: str, good: str
) -> None:
    place = kernel(tmp_path, **{Path(name).name: bad})
    said = shortfall("fallback", "auto", place)
    assert said == f"weaker than namespaces; for those: sysctl -w {name.replace('/', '.')}={good}"
    assert len(said) <= 100


def test_where_none_does_the_page_about_levels_is_named(tmp_path: Path) -> None:
    for place in (kernel(tmp_path), tmp_path / "none"):
        assert "docs/security.md" in str(shortfall("fallback", "auto", place))


def test_nothing_is_said_of_the_best_level_or_of_one_that_was_named(tmp_path: Path) -> None:
    place = kernel(tmp_path, max_user_namespaces="0")
    assert shortfall("namespaces", "auto", place) is None
    assert shortfall("fallback", "fallback", place) is None
