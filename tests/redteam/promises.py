"""What an attack tries to break. A level of isolation makes some of these promises."""

from __future__ import annotations

from enum import StrEnum


class Promise(StrEnum):
    """The promises under attack. Those of `ALWAYS` hold on every level: the server keeps them."""

    FILES = "files"
    """No file of the host outside the sandbox's own folder is read or written."""
    PROCESSES = "processes"
    """No process of the host or of another sandbox is seen."""
    SIGNALS = "signals"
    """No process outside is stopped, ended or changed."""
    IPC = "ipc"
    """No socket, shared memory, queue or key of the host or of another sandbox is reached."""
    SECRETS = "secrets"
    """No key is found in any environment, memory or file."""
    NETWORK = "network"
    """No address is reached, and none can be listened on from outside."""
    KERNEL = "kernel"
    """Rare and powerful interfaces of the kernel are refused."""
    PROCESS_LIMIT = "process_limit"
    MEMORY_LIMIT = "memory_limit"
    DISK_LIMIT = "disk_limit"
    FAIRNESS = "fairness"
    """A neighbour is served as before while a bomb goes off."""
    ENDS = "ends"
    """Nothing outlives the sandbox."""
    OWNERS = "owners"
    """A sandbox and its files answer to their Owner only."""
    TRANSFERS = "transfers"
    """Transfers and fetches reach the Owner's area, the workspace and public addresses only."""
    ANSWERS = "answers"
    """Every call is answered, in bounded size and time, whatever the code does."""


ALWAYS = frozenset({Promise.OWNERS, Promise.TRANSFERS, Promise.ANSWERS})
