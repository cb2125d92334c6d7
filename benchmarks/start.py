"""How long a warm start takes, from the command to the first successful call.

Run `python -m benchmarks.start [times]` in an installed environment, with nothing else running.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from benchmarks.hop import free_port

BODY = b'{"arguments": {"code_block": "print(6*7)"}}'


def first_call(url: str, limit_s: float = 60) -> None:
    """Return when a call through the manager succeeds.

    Raises:
        TimeoutError: none did within `limit_s` seconds.
    """
    request = urllib.request.Request(
        f"{url}/v1/tools/run_python_code/call", BODY, {"Content-Type": "application/json"}
    )
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                if b"42" in answer.read():
                    return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.02)
    raise TimeoutError(f"no call succeeded within {limit_s} s")


def start_once() -> float:
    """Start the platform as `make run` does, make the first call, end it; return the seconds."""
    manager, explore, full = free_port(), free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "manager"],
            env={
                "PATH": os.environ["PATH"],
                "HOME": folder,
                "AGENTDOCK_DATA_DIR": folder,
                "AGENTDOCK_MANAGER_PORT": str(manager),
                "AGENTDOCK_MANAGER_LOCAL_NODES": f"explore:{explore},full:{full}",
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            first_call(f"http://127.0.0.1:{manager}")
            return time.perf_counter() - started
        finally:
            process.terminate()
            process.wait(30)


def main() -> None:
    """Print the seconds of several starts; the first may be cold."""
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    for number in range(times):
        print(f"start {number + 1}: first call after {start_once():.2f} s")


if __name__ == "__main__":
    main()
