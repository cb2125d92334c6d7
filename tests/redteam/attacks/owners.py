"""At what belongs to another Owner, and between two sandboxes of one."""

from __future__ import annotations

from typing import Any

from tests.redteam.agent import ALICE
from tests.redteam.attack import claims, python, shows, steps
from tests.redteam.promises import Promise
from tests.redteam.scene import Scene, processes_with

TREASURE = "print(open('neighbour.txt').read(), treasure)"
FIND = """
def folders():
    for root in ('..', '/tmp', '/workspace', '/home', '/var/tmp', '/run', '/mnt', PLATFORM_FOLDER):
        for path, _, names in os.walk(root):
            if path.count('/') < 12 and 'neighbour.txt' in names: yield path
"""


def treasure(scene: Scene) -> str | None:
    """Return which of the neighbour's canaries a reply shows."""
    names = ("neighbour_file", "neighbour_variable", "neighbour_output")
    return next((found for name in names if (found := shows(name)(scene))), None)


@steps("use-another's-sandbox", Promise.OWNERS, breaks_plain=True)
async def use_anothers(scene: Scene) -> str | None:
    neighbour = str(scene.facts["NEIGHBOUR_ID"])
    scene.keep(await scene.agent.python(neighbour, TREASURE))
    scene.keep(await scene.agent.command(neighbour, "cat neighbour.txt"))
    return treasure(scene)


@steps("use-it-with-its-session-but-another-key", Promise.OWNERS, breaks_plain=True)
async def same_session_other_key(scene: Scene) -> str | None:
    agent = scene.arena.agent("neighbour")
    scene.keep(await agent.python(str(scene.facts["NEIGHBOUR_ID"]), TREASURE))
    return treasure(scene)


@steps("use-it-with-its-key-but-another-session", Promise.OWNERS, breaks_plain=True)
async def same_key_other_session(scene: Scene) -> str | None:
    for session in (None, "Neighbour", "neighbour.", "neighbou"):
        agent = scene.arena.agent(session, ALICE)
        scene.keep(await agent.python(str(scene.facts["NEIGHBOUR_ID"]), TREASURE))
    return treasure(scene)


@steps("say-that-one-is-the-owner", Promise.OWNERS, breaks_plain=True)
async def forge_the_owner(scene: Scene) -> str | None:
    """Owner forged in a header, in the arguments, and in `_meta` over MCP."""
    neighbour = str(scene.facts["NEIGHBOUR_ID"])
    arguments: dict[str, Any] = {"code_block": TREASURE, "sandbox_id": neighbour}
    path = "/v1/tools/run_python_code/call"
    for owner in ("alice/neighbour", '{"key": "alice", "session": "neighbour"}', "alice:neighbour"):
        meta = {"agentdock/owner": owner}
        headers = {"X-Agentdock-Owner": owner}
        scene.keep(
            await scene.agent.request(
                "POST", path, json={"arguments": arguments, "_meta": meta}, headers=headers
            )
        )
        scene.keep(
            await scene.agent.request(
                "POST", path, json={"arguments": {**arguments, "_meta": meta, "owner": owner}}
            )
        )
        call = {"name": "sandbox__run_python_code", "arguments": arguments, "_meta": meta}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
        accept = {"Accept": "application/json, text/event-stream"}
        for version in ("2025-06-18", "2026-07-28"):
            more = {**accept, "MCP-Protocol-Version": version}
            scene.keep(
                await scene.agent.request("POST", "/mcp", json=message, headers={**headers, **more})
            )
    return treasure(scene)


@steps("list-another's-sandboxes", Promise.OWNERS, breaks_plain=True)
async def list_anothers(scene: Scene) -> str | None:
    neighbour = str(scene.facts["NEIGHBOUR_ID"])
    for agent in (scene.agent, scene.arena.agent(None), scene.arena.agent(None, ALICE)):
        reply = await agent.sandboxes()
        if neighbour in reply.raw:
            return "the list shows the neighbour's sandbox"
    return None


@steps("close-another's-sandbox", Promise.OWNERS, breaks_plain=True)
async def close_anothers(scene: Scene) -> str | None:
    await scene.agent.close(str(scene.facts["NEIGHBOUR_ID"]))
    return None if await scene.arena.neighbour_is_well() else "the neighbour's sandbox is gone"


@steps("read-another's-command", Promise.OWNERS, breaks_plain=True)
async def read_anothers_command(scene: Scene) -> str | None:
    own = await scene.sandbox()
    for sandbox in (own, str(scene.facts["NEIGHBOUR_ID"])):
        arguments = {"sandbox_id": sandbox, "command_id": scene.facts["NEIGHBOUR_JOB"]}
        scene.keep(await scene.agent.call("get_command_output", arguments))
    return treasure(scene)


@steps("stop-another's-command", Promise.OWNERS, breaks_plain=True)
async def stop_anothers_command(scene: Scene) -> str | None:
    agent = scene.arena.neighbour
    sandbox, token = str(scene.facts["NEIGHBOUR_ID"]), scene.token
    line = f"exec -a {token} sleep 300"
    job = (await agent.command(sandbox, line, background=True)).fields.get("command_id")
    await scene.command("sleep 0.3")
    assert processes_with(token), "the neighbour's command does not run"
    for named in (await scene.sandbox(), sandbox):
        await scene.agent.call("stop_command", {"sandbox_id": named, "command_id": job})
    await scene.command("sleep 0.3")
    alive = bool(processes_with(token))
    await agent.call("stop_command", {"sandbox_id": sandbox, "command_id": job})
    return None if alive else "the neighbour's command was stopped"


@steps("carry-out-of-another's-sandbox", Promise.OWNERS, breaks_plain=True)
async def carry_out_of_anothers(scene: Scene) -> str | None:
    await scene.agent.download(str(scene.facts["NEIGHBOUR_ID"]), "neighbour.txt", "loot")
    scene.keep(await scene.agent.upload(await scene.sandbox(), "loot"))
    await scene.command("grep -rash canary- .; true")
    return treasure(scene)


@steps("throw-away-names-are-shared", Promise.OWNERS, breaks_plain=True)
async def shared_throw_away(scene: Scene) -> str | None:
    """What runs under a throw-away name leaves nothing for the next caller of that name."""
    alice = scene.arena.neighbour
    for name in ("default", "", "sandbox1", "0"):
        code = f"left = {scene.token!r}; open('left', 'w').write(left)"
        await alice.python(name, code)
        seen = "import os\nprint(globals().get('left'))\n"
        seen += "if os.path.exists('left'): print(open('left').read())"
        reply = scene.keep(await scene.agent.python(name, seen))
        if scene.token in reply.stdout:
            return f"{name!r} kept what another left"
    return None


@steps("tell-ids-apart", Promise.OWNERS)
async def oracle(scene: Scene) -> str | None:
    """Another's id and one that never was are refused in the same words."""
    neighbour = str(scene.facts["NEIGHBOUR_ID"])
    unknown = neighbour[:-6] + ("aaaaaa" if not neighbour.endswith("aaaaaa") else "bbbbbb")
    for act in (scene.agent.close, lambda s: scene.agent.command(s, "true")):
        texts = [(await act(one)).text.replace(one, "ID") for one in (neighbour, unknown)]
        if texts[0] != texts[1]:
            return f"refused differently: {texts}"
    return None


@steps("guess-the-next-id", Promise.OWNERS, breaks_plain=True)
async def guess(scene: Scene) -> str | None:
    """Ids share nothing but the node's part: at least 128 bits differ from one to the next."""
    ids = [await scene.open() for _ in range(4)]
    shared = 0
    while len({one[: shared + 1] for one in ids}) == 1 and shared < len(ids[0]):
        shared += 1
    unlike = min(len(one) - shared for one in ids)
    return f"only {unlike} characters differ: {ids[:2]}" if unlike < 20 else None


@steps("meet-in-temporary-folders", Promise.FILES, breaks_plain=True)
async def meet_in_folders(scene: Scene) -> str | None:
    """Two sandboxes of one Owner share no folder, not even for temporary files."""
    other = await scene.open()
    places = "('/tmp', '/var/tmp', '/dev/shm', '/run', os.path.expanduser('~'), '..', '/')"
    await scene.python(
        f"for place in {places}:\n    try: open(f'{{place}}/{{TOKEN}}', 'w').write('met')\n"
        "    except OSError as refusal: print(refusal)"
    )
    await scene.python(
        f"for place in {places}:\n"
        "    if os.path.exists(f'{place}/{TOKEN}'): breached(f'met in {place}')",
        sandbox=other,
    )
    await scene.python(
        f"for place in {places}:\n    try: os.unlink(f'{{place}}/{{TOKEN}}')\n"
        "    except OSError: pass"
    )
    return claims()(scene)


@steps("meet-in-the-kernel", Promise.IPC, breaks_plain=True)
async def meet_in_the_kernel(scene: Scene) -> str | None:
    """An abstract socket, shared memory by key and the user's keyring join two sandboxes."""
    other = await scene.open()
    await scene.python(
        "keep = socket.socket(socket.AF_UNIX)\nkeep.bind('\\0' + TOKEN)\nkeep.listen()\n"
        "number = int(TOKEN[5:12], 16)\nsegment = libc.shmget(number, 4096, 0o1666)\n"
        "try: syscall('add_key', b'user', TOKEN.encode(), b'hi', 2, -4)\n"
        "except OSError as refusal: print(refusal)"
    )
    await scene.python(
        "caller = socket.socket(socket.AF_UNIX)\n"
        "if caller.connect_ex('\\0' + TOKEN) == 0: breached('met at an abstract socket')\n"
        "segment = libc.shmget(int(TOKEN[5:12], 16), 4096, 0o666)\n"
        "if segment >= 0:\n    breached('met in shared memory')\n"
        "    libc.shmctl(segment, 0, None)\n"
        "try:\n    syscall('keyctl', 10, -4, b'user', TOKEN.encode(), 0)\n"
        "    breached('met in a keyring')\nexcept OSError as refusal: print(refusal)",
        sandbox=other,
    )
    return claims()(scene)


@steps("poison-the-warm-interpreter", Promise.SECRETS)
async def poison(scene: Scene) -> str | None:
    """What one sandbox does to modules and builtins is not met by the next."""
    await scene.python(
        "import builtins, json\nbuiltins.poisoned = json.poisoned = os.poisoned = TOKEN\n"
        "sys.path.insert(0, TOKEN)\nos.environ['POISONED'] = TOKEN"
    )
    other = await scene.open()
    await scene.python(
        "import builtins, json\n"
        "if any(hasattr(m, 'poisoned') for m in (builtins, json, os)) or TOKEN in sys.path \\\n"
        "        or 'POISONED' in os.environ: breached('the next sandbox is poisoned')",
        sandbox=other,
    )
    return claims()(scene)


@steps("dot-files-for-the-next", Promise.FILES, breaks_plain=True)
async def dot_files(scene: Scene) -> str | None:
    """Start-up files in the home folder are executed by no later sandbox."""
    await scene.command(
        'cd ~ && for f in .profile .bashrc; do echo "echo met-$TOKEN" >> $f; done; true'
    )
    other = await scene.open()
    reply = await scene.command("bash -lc true; bash -ic true 2>/dev/null; true", sandbox=other)
    await scene.command("cd ~ && rm -f .profile .bashrc")
    return "a later sandbox ran what was left" if f"met-{scene.token}" in reply.stdout else None


ATTACKS = (
    python(
        "find-the-neighbour's-file",
        Promise.FILES,
        FIND + "for folder in folders(): reveal(peek(folder + '/neighbour.txt'))",
        shows("neighbour_file"),
        breaks_plain=True,
    ),
    python(
        "list-the-neighbour's-processes",
        Promise.PROCESSES,
        "for folder in processes():\n"
        "    if NEIGHBOUR_ID.encode() in peek(folder + '/environ') \\\n"
        "            or b'sleep\\0003000' in peek(folder + '/cmdline'):\n"
        "        breached(f'sees a process of the neighbour: {folder}')",
        claims(),
        breaks_plain=True,
    ),
    use_anothers,
    same_session_other_key,
    same_key_other_session,
    forge_the_owner,
    list_anothers,
    close_anothers,
    read_anothers_command,
    stop_anothers_command,
    carry_out_of_anothers,
    shared_throw_away,
    oracle,
    guess,
    meet_in_folders,
    meet_in_the_kernel,
    poison,
    dot_files,
)
