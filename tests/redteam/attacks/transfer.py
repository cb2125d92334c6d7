"""Files carried in and out by the server, on paths that lead astray."""

from __future__ import annotations

from tests.redteam.agent import Reply
from tests.redteam.attack import Attack, shows, steps
from tests.redteam.promises import Promise
from tests.redteam.scene import NotRun, Scene, files_with

SECRET = ("host_file", "neighbour_local", "server_key", "other_key", "neighbour_file")


async def carried_in(scene: Scene, local: str) -> str | None:
    """Have a "local" path carried into the sandbox; return which canary came along."""
    sandbox = await scene.sandbox()
    answered(scene, await scene.agent.upload(sandbox, local))
    scene.keep(await scene.agent.command(sandbox, "grep -rash canary- . | tr -d '\\0'; true"))
    return next((found for name in SECRET if (found := shows(name)(scene))), None)


async def carried_out(scene: Scene, path: str) -> str | None:
    """Have a sandbox's path carried to the local area and in again; return which canary came."""
    sandbox = await scene.sandbox()
    answered(scene, await scene.agent.download(sandbox, path, "loot"))
    return await carried_in(scene, "loot")


def answered(scene: Scene, reply: Reply) -> None:
    """Make sure that the tool is there and took the call."""
    kept = scene.keep(reply)
    if kept.status in (404, 422):
        raise NotRun(kept.raw[:300])


def carries_in(name: str, local: str, *, breaks_plain: bool = True) -> Attack:
    """Return an attack that names a wrong "local" file; `{file}` is one of the host."""

    @steps(name, Promise.TRANSFERS, breaks_plain=breaks_plain)
    async def run(scene: Scene) -> str | None:
        return await carried_in(scene, local.format(file=scene.facts["HOST_FILE"]))

    return run


def carries_out(
    name: str, path: str, prepare: str = "true", *, breaks_plain: bool = True
) -> Attack:
    """Return an attack that prepares the sandbox by a command and has a path carried out."""

    @steps(name, Promise.TRANSFERS, breaks_plain=breaks_plain)
    async def run(scene: Scene) -> str | None:
        await scene.command(prepare)
        return await carried_out(scene, path.format(file=scene.facts["HOST_FILE"]))

    return run


def lands(name: str, path: str, prepare: str = "true", *, breaks_plain: bool = True) -> Attack:
    """Return an attack that has a file carried into the sandbox, to a path that leaves it."""

    @steps(name, Promise.TRANSFERS, breaks_plain=breaks_plain)
    async def run(scene: Scene) -> str | None:
        sandbox = await scene.sandbox()
        await scene.command(f"echo $TOKEN > mine; {prepare}")
        answered(scene, await scene.agent.download(sandbox, "mine", "mine"))
        folder = str(scene.facts["HOST_FOLDER"])
        answered(scene, await scene.agent.upload(sandbox, "mine", path.format(folder=folder)))
        return scene.arena.canaries.spoiled()

    return run


def stores(name: str, local: str) -> Attack:
    """Return an attack that has a file carried out to a "local" name that leaves the area."""

    @steps(name, Promise.TRANSFERS, breaks_plain=True)
    async def run(scene: Scene) -> str | None:
        await scene.command("echo $TOKEN > mine")
        target = local.format(folder=scene.facts["HOST_FOLDER"])
        answered(scene, await scene.agent.download(await scene.sandbox(), "mine", target))
        return scene.arena.canaries.spoiled()

    return run


SWAPPER = """
open('honest', 'w').write('honest')
os.symlink(HOST_FILE, 'astray')
os.mkdir('folder')
os.symlink(HOST_FOLDER, 'away')
if os.fork() == 0:
    try:
        end = time.monotonic() + 12
        while time.monotonic() < end:
            for one, other in ((b'honest', b'astray'), (b'folder', b'away')):
                libc.renameat2(-100, one, -100, other, 2)
    finally:
        os._exit(0)
"""


@steps("swap-while-it-is-carried-out", Promise.TRANSFERS)
async def swap_out(scene: Scene) -> str | None:
    """A file and a link trade places without end while the file is carried out."""
    sandbox = await scene.sandbox()
    await scene.python(SWAPPER)
    for _ in range(60):
        await scene.agent.download(sandbox, "honest", "loot")
        answered(scene, await scene.agent.upload(sandbox, "loot", "checked"))
        scene.keep(await scene.agent.command(sandbox, "cat checked; true"))
        if found := shows("host_file")(scene):
            return found
    return None


@steps("swap-while-it-is-carried-in", Promise.TRANSFERS)
async def swap_in(scene: Scene) -> str | None:
    """A folder and a link trade places without end while a file is carried in."""
    sandbox = await scene.sandbox()
    await scene.python(SWAPPER + "\nopen('mine', 'w').write(TOKEN)")
    await scene.agent.download(sandbox, "mine", "mine")
    for number in range(120):
        answered(scene, await scene.agent.upload(sandbox, "mine", f"folder/landed-{number % 3}"))
        if found := scene.arena.canaries.spoiled():
            return found
    return None


@steps("carry-out-a-pipe", Promise.ANSWERS, breaks_plain=True)
async def carry_out_a_pipe(scene: Scene) -> str | None:
    """A FIFO that nobody writes to must be refused, not waited for."""
    await scene.command("mkfifo pipe")
    reply = await scene.agent.download(await scene.sandbox(), "pipe", "loot")
    await scene.command("timeout 1 sh -c 'echo done > pipe'; true")
    return f"it hung for {reply.seconds:.1f} s" if reply.seconds > 5 else None


@steps("carry-out-an-endless-device", Promise.ANSWERS, on_plain=False)
async def carry_out_a_device(scene: Scene) -> str | None:
    """A link to a device that never ends must be refused."""
    await scene.command("ln -s /dev/zero endless; ln -s /proc/self/mem memory")
    for name in ("endless", "memory"):
        reply = scene.keep(await scene.agent.download(await scene.sandbox(), name, "loot"))
        if not reply.is_error or reply.seconds > 5:
            return f"{name}: {reply.raw[:200]}"
    return None


@steps("carry-out-too-much", Promise.TRANSFERS, breaks_plain=True)
async def carry_out_too_much(scene: Scene) -> str | None:
    """A sparse file beyond the limit of transfers, 100 MiB."""
    await scene.command("truncate -s 120M large")
    reply = scene.keep(await scene.agent.download(await scene.sandbox(), "large", scene.token))
    for path in files_with(scene.token, scene.arena.running.folder):
        if path.is_file():
            path.unlink()
    return None if reply.is_error else "120 MiB were carried out"


@steps("session-that-is-a-path", Promise.OWNERS)
async def session_that_is_a_path(scene: Scene) -> str | None:
    """A Session named like a parent folder must not be one."""
    for session in ("..", "."):
        agent = scene.arena.agent(session)
        sandbox = await scene.open(agent)
        for local in ("neighbour/local.txt", "alice/neighbour/local.txt", "local.txt"):
            answered(scene, await agent.upload(sandbox, local))
        scene.keep(await agent.command(sandbox, "grep -rash canary- .; true"))
    return shows("neighbour_local")(scene)


@steps("names-with-a-zero-byte", Promise.ANSWERS)
async def names_with_a_zero_byte(scene: Scene) -> str | None:
    """Names that no file can have are answered as mistakes, not as failures of the platform."""
    sandbox = await scene.sandbox()
    for name in ("a\0b", "\n", "x" * 5000, "/", "", "a/" * 3000):
        for reply in (
            await scene.agent.upload(sandbox, name),
            await scene.agent.download(sandbox, name, "loot"),
        ):
            if scene.keep(reply).status >= 500:
                return f"{name[:10]!r}: {reply.raw[:200]}"
    return None


@steps("another's-files-over-http", Promise.OWNERS, needs="files")
async def anothers_files_over_http(scene: Scene) -> str | None:
    """The routes for files, with paths of the neighbour and of the host."""
    neighbour, file = scene.facts["NEIGHBOUR_ID"], str(scene.facts["HOST_FILE"])
    dots = "..%2f" * 12
    for path in (
        "/v1/files/local.txt",
        f"/v1/files/{dots}{file[1:]}",
        f"/v1/files/%2f{file[1:]}",
        f"/v1/files//{file[1:]}",
        "/v1/files/..%2fneighbour%2flocal.txt",
        f"/v1/sandboxes/{neighbour}/files/neighbour.txt",
        f"/v1/sandboxes/{neighbour}%2f..%2f{neighbour}/files/neighbour.txt",
    ):
        scene.keep(await scene.agent.request("GET", path))
    return next((found for name in SECRET if (found := shows(name)(scene))), None)


@steps("write-over-http-to-the-host", Promise.TRANSFERS, needs="files")
async def write_over_http(scene: Scene) -> str | None:
    """PUT to paths that leave the area or follow a link out of a sandbox."""
    sandbox = await scene.sandbox()
    folder = str(scene.facts["HOST_FOLDER"])
    await scene.command('ln -s "$HOST_FOLDER" out; ln -s "$VICTIM" victim')
    for path in (
        f"/v1/files/{'..%2f' * 12}{folder[1:]}%2flanded",
        f"/v1/files/%2f{folder[1:]}%2flanded",
        f"/v1/sandboxes/{sandbox}/files/out/landed",
        f"/v1/sandboxes/{sandbox}/files/victim",
    ):
        scene.keep(await scene.agent.request("PUT", path, content=scene.token.encode()))
    return scene.arena.canaries.spoiled()


@steps("take-another's-sandbox-over-http", Promise.OWNERS, needs="files")
async def delete_over_http(scene: Scene) -> str | None:
    """DELETE of the neighbour's sandbox and files."""
    neighbour = scene.facts["NEIGHBOUR_ID"]
    await scene.agent.request("DELETE", f"/v1/sandboxes/{neighbour}/files/neighbour.txt")
    await scene.agent.request("DELETE", f"/v1/sandboxes/{neighbour}")
    well = await scene.arena.neighbour_is_well()
    return None if well else "the neighbour's sandbox or file is gone"


ATTACKS = (
    carries_in("carry-in-a-host-file", "{file}"),
    carries_in("carry-in-by-dots", "../../../../../../../../../../../..{file}"),
    carries_in("carry-in-what-another-left", "local.txt"),
    carries_in("carry-in-by-a-tilde", "~/.netrc", breaks_plain=False),
    carries_out("carry-out-a-host-file", "{file}"),
    carries_out("carry-out-by-dots", "../../../../../../../../../../../..{file}"),
    carries_out("carry-out-a-link", "link", 'ln -s "$HOST_FILE" link'),
    carries_out("carry-out-through-a-linked-folder", "out/host.txt", 'ln -s "$HOST_FOLDER" out'),
    carries_out("carry-out-the-server's-environment", "link", "ln -s /proc/self/environ link"),
    carries_out(
        "carry-out-by-the-server's-own-root",
        "root/host.txt",
        'ln -s "/proc/self/root$HOST_FOLDER" root',
    ),
    lands("carry-in-to-the-host", "{folder}/landed"),
    lands("carry-in-through-a-linked-folder", "out/landed", 'ln -s "$HOST_FOLDER" out'),
    lands("carry-in-onto-a-link", "victim", 'ln -s "$VICTIM" victim'),
    lands("carry-in-onto-a-dangling-link", "new", 'ln -s "$HOST_FOLDER/landed" new'),
    stores("carry-out-to-the-host", "{folder}/landed"),
    stores("carry-out-to-the-host-by-dots", "../../../../../../../../../../..{folder}/landed"),
    swap_out,
    swap_in,
    carry_out_a_pipe,
    carry_out_a_device,
    carry_out_too_much,
    session_that_is_a_path,
    names_with_a_zero_byte,
    anothers_files_over_http,
    write_over_http,
    delete_over_http,
)
