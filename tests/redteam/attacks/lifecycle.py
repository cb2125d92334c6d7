"""To stay behind, or to come back, when a sandbox is closed or has expired."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from tests.redteam.attack import shows, steps
from tests.redteam.promises import Promise
from tests.redteam.scene import NotRun, Scene, files_with, processes_with, until

DAEMON = "setsid bash -c 'trap \"\" INT TERM HUP; exec -a $0 sleep 25' $TOKEN > /dev/null 2>&1 &"


async def started(scene: Scene) -> None:
    """Make sure that a process with the token runs."""
    if not await until(lambda: bool(processes_with(scene.token)), 5):
        raise NotRun("the process did not start")


async def lives_on(scene: Scene, seconds: float = 4) -> str | None:
    """Return the evidence that a process with the token outlived its sandbox."""
    gone = await until(lambda: not processes_with(scene.token), seconds)
    return None if gone else "a process outlives its sandbox"


@steps("daemon-after-the-close", Promise.ENDS, breaks_plain=True)
async def daemon(scene: Scene) -> str | None:
    await scene.command(DAEMON)
    await scene.command("sleep 0.2")
    if not processes_with(scene.token):
        return None  # It ended with its command already.
    await scene.agent.close(await scene.sandbox())
    return await lives_on(scene)


@steps("background-command-after-the-close", Promise.ENDS, breaks_plain=True)
async def background(scene: Scene) -> str | None:
    await scene.start("exec -a $TOKEN sleep 25")
    await started(scene)
    await scene.agent.close(await scene.sandbox())
    return await lives_on(scene)


@steps("fork-while-it-is-closed", Promise.ENDS)
async def fork_while_closing(scene: Scene) -> str | None:
    """Processes that replace themselves all the time are not missed by whoever ends them."""
    await scene.start(
        "cat > hydra.py <<'END'\nimport os, sys, time\nend = time.monotonic() + 12\n"
        "while time.monotonic() < end:\n    if os.fork(): os._exit(0)\n    os.setsid()\nEND\n"
        "python3 hydra.py $TOKEN & sleep 20"
    )
    await started(scene)
    await scene.agent.close(await scene.sandbox())
    return await lives_on(scene)


@steps("call-while-it-is-closed", Promise.ENDS, breaks_plain=True)
async def call_while_closing(scene: Scene) -> str | None:
    """A call in flight ends with its sandbox, and is answered."""
    sandbox = await scene.sandbox()
    call = asyncio.create_task(scene.agent.command(sandbox, f"exec -a {scene.token} sleep 12", 20))
    await started(scene)
    await scene.agent.close(sandbox)
    evidence = await lives_on(scene)
    reply = await call
    if reply.status >= 500:
        return f"the call was not answered by the tool: {reply.raw[:200]}"
    return evidence


@steps("live-past-the-expiry", Promise.ENDS, breaks_plain=True)
async def expiry(scene: Scene) -> str | None:
    """A sandbox of two seconds is gone soon after, with its processes, and says so."""
    reply = await scene.agent.call("create_sandbox", {"timeout": 2})
    if reply.is_error:
        raise NotRun(reply.raw[:300])
    sandbox = reply.text.split("sandbox_id: ")[1].split()[0]
    line = f"exec -a {scene.token} sleep 25"
    await scene.agent.command(sandbox, line, 20, background=True)
    await started(scene)
    evidence = await lives_on(scene, 8)
    later = await scene.agent.python(sandbox, "print(6 * 7)")
    await scene.agent.close(sandbox)
    return evidence or ("it still answers" if "42" in later.stdout else None)


@steps("use-after-the-close", Promise.OWNERS, breaks_plain=True)
async def use_after_close(scene: Scene) -> str | None:
    sandbox = await scene.sandbox()
    await scene.agent.python(sandbox, f"open('kept', 'w').write({scene.token!r})")
    await scene.agent.close(sandbox)
    reply = await scene.agent.command(sandbox, "cat kept")
    return "files are there after the close" if scene.token in reply.stdout else None


@steps("files-after-the-close", Promise.ENDS, breaks_plain=True)
async def files_after_close(scene: Scene) -> str | None:
    """No file stays in the platform's folder, not even in folders that resist their deletion."""
    await scene.python(
        "here = os.getcwd()\n"
        "for _ in range(300):\n    os.mkdir(TOKEN[:6])\n    os.chdir(TOKEN[:6])\n"
        "open(TOKEN, 'w').close()\nos.chdir(here)\nos.mkdir(TOKEN)\n"
        "open(TOKEN + '/file', 'w').close()\nos.chmod(TOKEN + '/file', 0)\nos.chmod(TOKEN, 0)\n"
        "os.mkfifo(TOKEN + '-pipe')\nos.symlink('/', TOKEN + '-root')\n"
        "open(TOKEN + '-\\n\\udc80', 'w').close()"
    )
    folders = (scene.arena.running.folder, Path(tempfile.gettempdir()))
    await scene.agent.close(await scene.sandbox())
    gone = await until(lambda: not files_with(scene.token, *folders), 5, 0.5)
    return None if gone else f"left: {files_with(scene.token, *folders)[:3]}"


@steps("mounts-after-the-close", Promise.ENDS)
async def mounts(scene: Scene) -> str | None:
    """Twenty sandboxes that were opened and closed leave no mount on the host."""

    def mounted() -> int:
        # Containers of others come and go on the same machine.
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        return sum("docker" not in line for line in lines)

    before = mounted()
    for _ in range(20):
        sandbox = await scene.open()
        await scene.command("true", sandbox=sandbox)
        await scene.agent.close(sandbox)
    left = mounted() - before
    return f"{left} mounts are left" if left > 0 else None


@steps("kill-one's-own-parent", Promise.ENDS, on_plain=False)
async def kill_parent(scene: Scene) -> str | None:
    """Whoever kills what runs him harms himself only: nothing is left, others are served."""
    await scene.command(DAEMON)
    await scene.python(
        "for pid in (os.getppid(), 1):\n    for number in (signal.SIGTERM, signal.SIGKILL):\n"
        "        try: os.kill(pid, number)\n        except OSError as refusal: print(refusal)"
    )
    if not await scene.arena.neighbour_is_well():
        return "the neighbour is no longer served"
    await scene.agent.close(await scene.sandbox())
    return await lives_on(scene)


@steps("stay-by-an-endless-exit", Promise.ENDS)
async def endless_exit(scene: Scene) -> str | None:
    """Code that runs when the interpreter ends does not delay the end."""
    await scene.python(
        "import atexit\natexit.register(time.sleep, 25)\n"
        "signal.signal(signal.SIGTERM, lambda *_: time.sleep(25))\n"
        "if os.fork() == 0:\n    os.execvp('bash', ['bash', '-c', 'trap \"\" INT TERM; exec -a '\n"
        "              + TOKEN + ' sleep 25'])\ntime.sleep(0.2)"
    )
    reply = await scene.agent.close(await scene.sandbox())
    return f"the close took {reply.seconds:.1f} s" if reply.seconds > 5 else await lives_on(scene)


@steps("own-more-time-than-there-is", Promise.ANSWERS)
async def long_life(scene: Scene) -> str | None:
    """A life beyond 600 s, or none at all, is refused or cut; it is never a platform failure."""
    for timeout in (10**9, 0, -1, 601):
        reply = await scene.agent.call("create_sandbox", {"timeout": timeout})
        if reply.status >= 500:
            return f"{timeout}: {reply.raw[:200]}"
        if not reply.is_error:
            await scene.agent.close(reply.text.split("sandbox_id: ")[1].split()[0])
        lasts = [value for name, value in reply.fields.items() if "expire" in name or "ttl" in name]
        if any(isinstance(value, int | float) and 601 <= value < 10**8 for value in lasts):
            return f"{timeout} was granted: {lasts}"
    return None


@steps("come-back-under-a-name", Promise.OWNERS)
async def come_back(scene: Scene) -> str | None:
    """Ids that look like paths, or like an older sandbox's, open nothing."""
    sandbox = await scene.sandbox()
    await scene.python(f"open({scene.token!r}, 'w').write('CAME-BACK')")
    strange = (f"../{sandbox}", f"{sandbox}/", f"{sandbox}/.", f" {sandbox}", f"{sandbox}\0", "..")
    for name in (*strange, sandbox.upper(), f"{sandbox}.."):
        reply = scene.keep(await scene.agent.command(name, f"cat {scene.token}; pwd"))
        if "CAME-BACK" in reply.stdout or reply.status >= 500:
            return f"{name!r}: {reply.raw[:200]}"
    return shows("host_file")(scene)


ATTACKS = (
    daemon,
    background,
    fork_while_closing,
    call_while_closing,
    expiry,
    use_after_close,
    files_after_close,
    mounts,
    kill_parent,
    endless_exit,
    long_life,
    come_back,
)
