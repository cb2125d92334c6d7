"""What a level does in the zygote, and in the processes that are forked from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from mcp_servers.sandbox.confined.site import Limits, Site


class Steps(Protocol):
    """The steps of one level, in the order in which they are taken.

    Each raises OSError if this machine does not allow it.
    """

    name: str
    ends_with_first: bool
    """Whether all that a sandbox's first process started ends with it, by the kernel's doing."""

    trees: Sequence[str]
    """Folders of the interpreter, which every sandbox is shown."""

    def folders(self, site: Site) -> tuple[str, str]:
        """Return where its code finds a sandbox's home and its folder for temporary files."""
        ...

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


@runtime_checkable
class Joining(Steps, Protocol):
    """The steps of a level whose workers are not forked by the sandbox's first process."""

    home: str
    temporary: str
    """Both folders, which are at the same place in every sandbox."""

    def confine_nursery(self) -> None:
        """Confine this process, the nursery, as far as its forks can be already."""
        ...

    def fork_beside(self, spaces: Sequence[int]) -> int:
        """Fork, in the nursery, into a sandbox's process ids; return 0 in it, its pid here.

        Args:
            spaces: Descriptors of the sandbox's namespaces, as of `linux.namespaces`.
        """
        ...

    def join(self, spaces: Sequence[int]) -> None:
        """Move this process, forked so, into everything else of the sandbox."""
        ...

    def confine_worker(self, limits: Limits) -> None:
        """Do what `confine_job` does, in a process that joined."""
        ...
