"""Reads a profile, the file that names the tool servers of a node, and watches it for changes."""

from __future__ import annotations

import asyncio
import json
import logging
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nodes.entries import Entry, parse_entry
from wire.entry import EntryFault
from wire.settings import SettingsError

log = logging.getLogger(__name__)

POLL_S = 0.15
STABLE_POLLS = 2
"""Polls that must find the file unchanged before it is read: editors write in pieces."""

TABLE = "mcpServers"
Signature = tuple[tuple[int, int, int] | None, ...]


@dataclass(frozen=True, slots=True)
class Profile:
    """What is to be plugged: entries that can be used, and for the others what is wrong.

    `sources` says where the entry of a name comes from, `notes` what else people should know.
    `fault` is what is wrong with the file as a whole; then the rest is what it said before.
    """

    entries: Mapping[str, Entry] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    fault: str | None = None


def with_one_for_files(profile: Profile) -> Profile:
    """Return a profile in which one entry at most serves files; it is the fault of the others."""
    having = [name for name, it in profile.entries.items() if it.files and it.enabled]
    if len(having) < 2:
        return profile
    first, *others = having
    fault = (
        f"`agentdock.files`: {first!r} serves the files of this node already, and only one entry "
        "may. Leave it out here."
    )
    entries = {name: it for name, it in profile.entries.items() if name not in others}
    faults = {**profile.faults, **dict.fromkeys(others, fault)}
    return replace(profile, entries=entries, faults=faults)


class ProfileFault(Exception):
    """The file as a whole cannot be used; the text says why and what to do."""


def profile_path(profile: str) -> Path:
    """Return the file of a profile: one of ours by its name, or any by its path."""
    if Path(profile).suffix in (".toml", ".json"):
        return Path(profile)
    return Path(__file__).parent / "profiles" / f"{profile}.toml"


def read_profile(path: Path, environ: Mapping[str, str]) -> Profile:
    """Read and check a profile. A broken entry is that entry's fault alone.

    Raises:
        ProfileFault: no such file, no TOML (or JSON), or no `mcpServers` table.
    """
    servers = _parse(path).get(TABLE)
    if not isinstance(servers, dict):
        raise ProfileFault(
            f"{path} has no `{TABLE}` table: name tool servers as [{TABLE}.NAME], or leave "
            f"an empty [{TABLE}] to host none."
        )
    entries: dict[str, Entry] = {}
    faults: dict[str, str] = {}
    for name, raw in servers.items():
        try:
            entries[name] = parse_entry(name, raw, environ)
        except EntryFault as fault:
            faults[name] = str(fault)
    return Profile(entries, faults)


def _parse(path: Path) -> dict[str, Any]:
    try:
        content = path.read_bytes().decode()
        document = json.loads(content) if path.suffix == ".json" else tomllib.loads(content)
    except OSError as error:
        raise ProfileFault(f"Cannot read the profile {path}: {error.strerror}.") from None
    except ValueError as error:
        raise ProfileFault(f"{path} is not valid {path.suffix[1:].upper()}: {error}.") from None
    return document if isinstance(document, dict) else {}


class ProfileWatch:
    """Calls back with the profile now, and again each time the file has changed and come to rest.

    Args:
        path: The profile.
        environ: Returns the environment that entries refer to, as it is now.
        on_profile: Takes a profile that could be read.
        on_fault: Takes the text of a ProfileFault.
        also: Further files whose change makes the profile be read anew, such as `.env`.
        poll_s: Seconds between two looks at the files.
    """

    def __init__(
        self,
        path: Path,
        environ: Callable[[], Mapping[str, str]],
        on_profile: Callable[[Profile], None],
        on_fault: Callable[[str], None],
        also: Sequence[Path] = (),
        poll_s: float = POLL_S,
    ) -> None:
        self._path = path
        self._environ = environ
        self._on_profile = on_profile
        self._on_fault = on_fault
        self._watched = (path, *also)
        self._poll_s = poll_s

    def load(self) -> None:
        """Read the profile and hand it on, or what is wrong with it."""
        try:
            profile = read_profile(self._path, self._environ())
        except (ProfileFault, SettingsError) as fault:
            log.error("profile: %s Everything stays as it was.", fault)
            self._on_fault(str(fault))
            return
        except Exception as fault:
            # The watch must outlive what nobody thought of, or nothing is ever plugged again.
            log.exception("the profile %s cannot be read", self._path)
            self._on_fault(f"{self._path} cannot be read ({type(fault).__name__}); see the log.")
            return
        for name, text in profile.faults.items():
            log.error("profile %s: entry %s is not used: %s", self._path, name, text)
        self._on_profile(profile)

    async def run(self) -> None:
        """Load once, then watch until cancelled. A change is applied within about a second."""
        applied = seen = self._signature()
        self.load()
        unchanged = 0
        while True:
            await asyncio.sleep(self._poll_s)
            now = self._signature()
            unchanged = unchanged + 1 if now == seen else 0
            seen = now
            if seen != applied and unchanged >= STABLE_POLLS:
                applied = seen
                log.info("profile %s changed", self._path)
                self.load()

    def _signature(self) -> Signature:
        return tuple(_stat(path) for path in self._watched)


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
