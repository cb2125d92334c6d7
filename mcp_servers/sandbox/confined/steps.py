"""What a level does in the zygote, and in the processes that are forked from it."""

from __future__ import annotations

from typing import Protocol

from mcp_servers.sandbox.confined.site import Site


class Steps(Protocol):
    """The steps of one level, in the order in which they are taken.

    Each raises OSError if this machine does not allow it.
    """

    name: str
    ends_with_first: bool
    """Whether all that a sandbox's first process started ends with it, by the kernel's doing."""

    def enter(self) -> None:
        """Prepare, in the zygote; return in the process that goes on as the zygote."""
        ...

    def promises(self) -> list[str]:
        """Return what is kept on this level. Known once it was entered."""
        ...

    def first_user(self) -> int | None:
        """Return the user that the first sandbox is outside; None if all are our own."""
        ...

    def fork(self, site: Site) -> int:
        """Fork the first process of a sandbox; return 0 in it, its pid in the zygote."""
        ...

    def confine(self, site: Site) -> None:
        """Confine this process, the first of its sandbox; its folder is the sandbox's home now."""
        ...

    def confine_job(self, site: Site) -> None:
        """Confine this process, which is about to run foreign code, and whatever it starts."""
        ...
