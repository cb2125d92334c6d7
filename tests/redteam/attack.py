"""What an attack is, and the three ways to write one: Python code, a shell command, steps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.redteam import payloads
from tests.redteam.promises import Promise
from tests.redteam.scene import Scene

Steps = Callable[[Scene], Awaitable[str | None]]
Criterion = Callable[[Scene], str | None]


@dataclass(frozen=True)
class Attack:
    """One attack.

    Args:
        id: Its name, unique in the suite.
        promise: What it tries to break.
        run: Carries it out in a scene and returns the evidence of a breach, or None. Raises
            `NotRun` if it was not really tried.
        breaks_plain: It succeeds against a plain child process.
        on_plain: It does no harm to the machine if it succeeds there.
        needs: What the platform must offer, such as `files` (the routes for files).
    """

    id: str
    promise: Promise
    run: Steps
    breaks_plain: bool = False
    on_plain: bool = True
    needs: str = ""


def python(
    name: str,
    promise: Promise,
    code: str,
    *criteria: Criterion,
    breaks_plain: bool = False,
    on_plain: bool = True,
    timeout_s: float = 20,
) -> Attack:
    """Return an attack that is one piece of Python in a fresh sandbox.

    It succeeds if one of the criteria finds evidence; each can be asked again and again.
    """

    async def run(scene: Scene) -> str | None:
        await scene.python(code, timeout_s=timeout_s)
        return first(scene, criteria)

    return Attack(name, promise, run, breaks_plain, on_plain)


def command(
    name: str,
    promise: Promise,
    line: str,
    *criteria: Criterion,
    breaks_plain: bool = False,
    on_plain: bool = True,
    timeout_s: float = 20,
) -> Attack:
    """Return an attack that is one shell command in a fresh sandbox."""

    async def run(scene: Scene) -> str | None:
        await scene.command(line, timeout_s=timeout_s)
        return first(scene, criteria)

    return Attack(name, promise, run, breaks_plain, on_plain)


def steps(
    name: str,
    promise: Promise,
    *,
    breaks_plain: bool = False,
    on_plain: bool = True,
    needs: str = "",
) -> Callable[[Steps], Attack]:
    """Make an attack of a function that takes several steps."""

    def attack(run: Steps) -> Attack:
        return Attack(name, promise, run, breaks_plain, on_plain, needs)

    return attack


def first(scene: Scene, criteria: tuple[Criterion, ...]) -> str | None:
    """Return the first evidence that a criterion finds."""
    return next((found for criterion in criteria if (found := criterion(scene))), None)


def shows(canary: str) -> Criterion:
    """The value of a canary is in a reply."""

    def criterion(scene: Scene) -> str | None:
        value = scene.arena.canaries.values[canary]
        seen = any(value in reply.raw for reply in scene.replies)
        return f"a reply shows the canary {canary}" if seen else None

    return criterion


def claims() -> Criterion:
    """The code itself saw that it was allowed what it must not do."""

    def criterion(scene: Scene) -> str | None:
        lines = [
            line
            for reply in scene.replies
            for line in reply.stdout.splitlines()
            if line.startswith(payloads.BREACHED)
        ]
        return lines[0] if lines else None

    return criterion


def arrives() -> Criterion:
    """The token of this scene arrived at a listener on the host."""

    def criterion(scene: Scene) -> str | None:
        where = scene.arena.canaries.arrivals(scene.token)
        return f"the token arrived at {where}" if where else None

    return criterion


def harms() -> Criterion:
    """The decoy, a process of the host, is gone, stopped or changed."""
    return lambda scene: scene.arena.canaries.harm_to_decoy()


def spoils() -> Criterion:
    """A file in the host's folder is new, changed or gone."""
    return lambda scene: scene.arena.canaries.spoiled()
