"""Reading a profile and watching it, with real files."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from nodes.profile import POLL_S, Profile, ProfileFault, ProfileWatch, profile_path, read_profile
from tests.nodes.running import eventually

ONE = '[mcpServers.one]\ncommand = "x"\n'
TWO = ONE + '[mcpServers.two]\ncommand = "y"\n'


class Seen:
    """What a watch called back with."""

    def __init__(self) -> None:
        self.profiles: list[Profile] = []
        self.faults: list[str] = []

    def names(self) -> list[str]:
        return sorted(self.profiles[-1].entries)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "profile.toml"
    file.write_text(ONE)
    return file


@pytest.fixture
async def seen(path: Path, environ: dict[str, str], poll_s: float) -> AsyncIterator[Seen]:
    """Watch the profile; return what is seen of it."""
    seen = Seen()
    watch = ProfileWatch(
        path,
        lambda: environ,
        seen.profiles.append,
        seen.faults.append,
        also=[path.parent / ".env"],
        poll_s=poll_s,
    )
    task = asyncio.create_task(watch.run())
    await eventually(lambda: seen.profiles)
    yield seen
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.fixture
def poll_s() -> float:
    return 0.02


@pytest.fixture
def environ() -> dict[str, str]:
    return {}


@pytest.mark.parametrize("name", ["explore", "full"])
def test_our_own_profiles_are_sound(name: str) -> None:
    profile = read_profile(profile_path(name), {})
    assert not profile.faults
    assert profile.entries["sandbox"].timeout_s == 630


def test_a_json_file_with_the_same_map_is_read_as_well(tmp_path: Path) -> None:
    file = tmp_path / "mcp.json"
    file.write_text('{"mcpServers": {"one": {"command": "x", "args": ["a"]}}}')
    assert read_profile(file, {}).entries["one"].args == ("a",)


def test_a_broken_entry_is_its_own_fault_alone(path: Path) -> None:
    path.write_text(ONE + '[mcpServers.bad]\ncomand = "x"\n[mcpServers.url]\nurl = "ftp://x"\n')
    profile = read_profile(path, {})
    assert profile.entries.keys() == {"one"}
    assert profile.faults.keys() == {"bad", "url"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[mcpServers.one\ncommand", "is not valid TOML"),
        ("", "has no `mcpServers` table"),
        ("mcpServers = 3", "has no `mcpServers` table"),
        ('[mcpservers.one]\ncommand = "x"', "has no `mcpServers` table"),
        ("\udcff", "is not valid TOML"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(path: Path, content: str, says: str) -> None:
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ProfileFault, match=says):
        read_profile(path, {})


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ProfileFault, match="Cannot read the profile"):
        read_profile(tmp_path / "none.toml", {})


def test_an_empty_table_hosts_nothing_and_is_no_fault(path: Path) -> None:
    path.write_text("[mcpServers]\n")
    assert read_profile(path, {}) == Profile()


@pytest.mark.parametrize("poll_s", [POLL_S])
async def test_a_saved_change_is_seen_within_two_seconds(path: Path, seen: Seen) -> None:
    path.write_text(TWO)
    began = time.monotonic()
    await eventually(lambda: len(seen.profiles) == 2)
    assert time.monotonic() - began < 2
    assert seen.names() == ["one", "two"]


async def test_a_file_replaced_by_rename_is_seen(path: Path, seen: Seen) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(TWO)
    fresh.rename(path)
    await eventually(lambda: len(seen.profiles) == 2)
    assert seen.names() == ["one", "two"]


async def test_a_file_written_in_pieces_is_read_when_it_rests(path: Path, seen: Seen) -> None:
    with path.open("w") as file:
        for piece in TWO:
            file.write(piece)
            file.flush()
            await _turns(200)
    await eventually(lambda: len(seen.profiles) == 2)
    assert seen.names() == ["one", "two"]
    assert seen.faults == []


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_file_left_half_written_is_a_fault_and_its_end_is_seen(
    path: Path, seen: Seen
) -> None:
    path.write_text(TWO[:-10])
    await eventually(lambda: seen.faults)
    assert len(seen.profiles) == 1
    path.write_text(TWO)
    await eventually(lambda: len(seen.profiles) == 2)


async def test_a_deleted_file_is_a_fault_and_its_return_is_seen(path: Path, seen: Seen) -> None:
    path.unlink()
    await eventually(lambda: seen.faults)
    path.write_text(ONE)
    await eventually(lambda: len(seen.profiles) == 2)


async def test_a_variable_added_to_the_env_file_mends_an_entry(
    path: Path, environ: dict[str, str], seen: Seen
) -> None:
    path.write_text('[mcpServers.one]\ncommand = "${WHAT}"\n')
    await eventually(lambda: len(seen.profiles) == 2)
    assert "WHAT" in seen.profiles[-1].faults["one"]
    environ["WHAT"] = "x"
    (path.parent / ".env").write_text("WHAT=x\n")
    await eventually(lambda: len(seen.profiles) == 3)
    assert seen.names() == ["one"]


@pytest.mark.parametrize(
    "content", ["a = " + "[" * 3000, ONE + "[mcpServers.x]\ncommand = 'x'\ncwd = '~nobody-here/x'"]
)
async def test_the_watch_outlives_files_that_nobody_thought_of(
    path: Path, seen: Seen, content: str
) -> None:
    path.write_text(content)
    await eventually(lambda: seen.faults or len(seen.profiles) == 2)
    path.write_text(TWO)
    await eventually(lambda: seen.names() == ["one", "two"])


def test_a_profile_is_ours_by_name_or_any_by_path() -> None:
    assert profile_path("full").is_file()
    assert profile_path("/etc/my.toml") == Path("/etc/my.toml")
    assert profile_path("mine.json") == Path("mine.json")
