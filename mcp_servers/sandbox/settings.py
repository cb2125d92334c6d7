"""The settings of the sandbox: `SANDBOX_*`, and what a node tells the tool servers it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from mcp_servers.sandbox.confined.site import Limits

MIB = 1 << 20


class SandboxSettings(BaseSettings):
    """Everything that can be set about sandboxes. Times are in seconds, sizes in MiB."""

    model_config = SettingsConfigDict(
        env_prefix="SANDBOX_", frozen=True, env_ignore_empty=True, populate_by_name=True
    )

    level: Literal["auto", "namespaces", "fallback", "none"] = Field(
        "auto",
        description="How code is confined; `none`, not at all, is never chosen by itself.",
    )
    promises: str = Field(
        "", description="Promises without which there shall be no sandbox, separated by commas."
    )
    preload: str = Field(
        "numpy,pandas,matplotlib,matplotlib.pyplot",
        description="Modules that are loaded in every sandbox from the start.",
    )
    call_s: float = Field(60.0, gt=0, le=600, description="Time for a call that names none.")
    ttl_s: float = Field(600.0, gt=0, le=86_400, description="Longest life of an unused sandbox.")
    capacity: int = Field(500, ge=1, le=65_536, description="Most sandboxes at a time.")
    owner_sandboxes: int = Field(64, ge=1, description="Most sandboxes of an owner.")
    owner_calls: int = Field(16, ge=1, description="Most running calls of an owner.")
    owner_waiting: int = Field(64, ge=0, description="Most calls of an owner that wait to run.")
    memory: int = Field(1024, ge=16, description="Memory of a sandbox.")
    addresses: int = Field(2048, ge=64, description="Address space of a process.")
    disk: int = Field(1024, ge=1, description="Files of a sandbox, all together.")
    files: int = Field(20_000, ge=10, description="Number of files of a sandbox.")
    file_size: int = Field(256, ge=1, description="Largest file that code can write.")
    processes: int = Field(128, ge=8, description="Processes and threads of a sandbox.")
    descriptors: int = Field(256, ge=32, description="Descriptors of a process.")
    area: int = Field(2048, ge=1, description="Files of an owner in the file area, together.")
    area_files: int = Field(20_000, ge=1, description="Number of files of an owner there.")

    handle_prefix: str = Field(
        "",
        validation_alias="AGENTDOCK_HANDLE_PREFIX",
        description="What ids begin with; alone they are random only.",
    )
    state_dir: Path | None = Field(
        None,
        validation_alias="AGENTDOCK_STATE_DIR",
        description="Where sandboxes are kept; alone nothing is kept.",
    )
    files_dir: Path | None = Field(
        None, validation_alias="AGENTDOCK_FILES_DIR", description="The owners' local files."
    )
    files_socket: Path | None = Field(
        None,
        validation_alias="AGENTDOCK_FILES_SOCKET",
        description="Where files are served over HTTP; alone they are not.",
    )

    @property
    def limits(self) -> Limits:
        """What each sandbox may use."""
        return Limits(
            addresses=self.addresses * MIB,
            processes=self.processes,
            descriptors=self.descriptors,
            file_size=self.file_size * MIB,
            memory=self.memory * MIB,
            disk=self.disk * MIB,
            files=self.files,
        )

    @property
    def demanded(self) -> frozenset[str]:
        """The promises without which there shall be no sandbox."""
        return frozenset(part.strip() for part in self.promises.split(",") if part.strip())

    @property
    def modules(self) -> list[str]:
        """The modules to load."""
        return [part.strip() for part in self.preload.split(",") if part.strip()]
