"""Against the end of a call's time."""

from __future__ import annotations

import asyncio
import json

import httpx

from tests.redteam.attack import Attack, steps
from tests.redteam.promises import Promise
from tests.redteam.scene import NotRun, Scene, processes_with, until

LIMIT_S, GRACE_S = 3, 6


def lingers(name: str, code: str, *, shell: bool = False, breaks_plain: bool = True) -> Attack:
    """Return an attack by code that would run for 20 s with 3 s allowed: the tool must answer."""

    @steps(name, Promise.ANSWERS, breaks_plain=breaks_plain)
    async def run(scene: Scene) -> str | None:
        act = scene.command if shell else scene.python
        reply = await act(code, timeout_s=LIMIT_S)
        if reply.status != 200:
            return f"the tool did not answer: {reply.raw[:200]}"
        if reply.seconds < 1:
            raise NotRun(f"it ended by itself: {reply.raw[:300]}")
        slow = reply.seconds > LIMIT_S + GRACE_S
        return f"it ran for {reply.seconds:.1f} s" if slow else None

    return run


@steps("run-on-after-the-call-was-dropped", Promise.ANSWERS, breaks_plain=True)
async def dropped(scene: Scene) -> str | None:
    """Code whose caller closed the connection is stopped."""
    sandbox = await scene.sandbox()
    line = f"exec -a {scene.token} sleep 25"
    call = asyncio.create_task(scene.agent.command(sandbox, line, 30))
    if not await until(lambda: bool(processes_with(scene.token)), 5):
        raise NotRun("the command did not start")
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    gone = await until(lambda: not processes_with(scene.token), 6)
    return None if gone else "it runs on"


@steps("run-on-after-the-time-is-up", Promise.ENDS, breaks_plain=True)
async def descendants(scene: Scene) -> str | None:
    """Descendants in sessions of their own end with a command whose time was up."""
    line = (
        "trap '' INT TERM HUP\n"
        "(setsid bash -c 'trap \"\" INT TERM HUP; exec -a $0 sleep 25' $TOKEN &)\nsleep 20"
    )
    await scene.command(line, timeout_s=LIMIT_S)
    gone = await until(lambda: not processes_with(scene.token), 4)
    return None if gone else "a descendant runs on"


@steps("stop-a-command-with-descendants", Promise.ENDS, breaks_plain=True)
async def stopped_job(scene: Scene) -> str | None:
    """`stop_command` ends what the command started, also what ignores signals."""
    reply = await scene.start(
        "trap '' INT TERM; (setsid bash -c 'exec -a $0 sleep 25' $TOKEN &); sleep 20"
    )
    if not await until(lambda: bool(processes_with(scene.token)), 5):
        raise NotRun("the command did not start")
    arguments = {"sandbox_id": await scene.sandbox(), "command_id": reply.fields["command_id"]}
    await scene.agent.call("stop_command", arguments)
    gone = await until(lambda: not processes_with(scene.token), 6)
    return None if gone else "a descendant runs on"


@steps("demand-endless-time", Promise.ANSWERS)
async def endless(scene: Scene) -> str | None:
    """Deadlines that are no numbers, negative or endless are refused or capped, never failures."""
    sandbox = await scene.sandbox()
    for timeout in ("1e999", "NaN", "-5", "0", '"inf"', "1e300", "[]", "9" * 400):
        arguments = json.dumps({"code_block": "1", "sandbox_id": sandbox})
        body = f'{{"arguments": {arguments}, "timeout_s": {timeout}}}'
        headers = {"Content-Type": "application/json"}
        try:
            reply = await scene.agent.request(
                "POST", "/v1/tools/run_python_code/call", content=body, headers=headers
            )
        except httpx.TransportError as error:
            return f"{timeout}: {error!r}"
        if reply.status >= 500 and reply.code != "call_timed_out":
            return f"{timeout}: {reply.raw[:200]}"
    return None


ATTACKS = (
    lingers(
        "loop-and-ignore-interrupts",
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\nt = time.time()\n"
        "while time.time() < t + 20: pass",
    ),
    lingers(
        "catch-every-interrupt",
        "end = time.time() + 20\nwhile time.time() < end:\n    try:\n"
        "        while time.time() < end: pass\n    except BaseException: pass",
    ),
    lingers(
        "compute-where-no-interrupt-is-seen",
        "import re\nlibc.usleep.argtypes = [ctypes.c_uint]\n"
        "ctypes.PyDLL(None).sleep(20) if hasattr(libc, 'sleep') else time.sleep(20)",
    ),
    lingers(
        "block-every-signal",
        "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\n"
        "threading.Thread(target=time.sleep, args=(20,)).start()\ntime.sleep(20)",
    ),
    lingers(
        "stop-oneself",
        "threading.Timer(20, lambda: 0).start()\nos.kill(os.getpid(), signal.SIGSTOP)\n"
        "time.sleep(20)",
        breaks_plain=False,
    ),
    lingers(
        "wait-for-a-child-that-waits",
        "child = os.fork()\nif child == 0:\n    signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "    time.sleep(20)\n    os._exit(0)\n"
        "while True:\n    try: os.waitpid(child, 0); break\n    except KeyboardInterrupt: pass",
    ),
    lingers(
        "value-that-takes-forever",
        "class Slow:\n    def __repr__(self):\n        time.sleep(20)\n        return 'late'\n"
        "print(Slow())",
    ),
    lingers(
        "command-that-traps",
        "trap '' INT TERM HUP; for i in $(seq 20); do sleep 1; done",
        shell=True,
    ),
    lingers("read-a-terminal", "mkfifo never; cat never", shell=True),
    dropped,
    descendants,
    stopped_job,
    endless,
)
