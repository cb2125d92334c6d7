"""Who may import whom, and who may end processes. The syntax trees are read, nothing is run."""

from __future__ import annotations

import subprocess
import sys
from fnmatch import fnmatch

import pytest

from tests.guards.source import PACKAGES, ROOT, Source, sources

FORBIDDEN = {
    "wire": ("manager", "nodes", "mcp_servers", "tests", "benchmarks"),
    "manager": ("nodes", "mcp_servers", "tests", "benchmarks"),
    "nodes": ("manager", "mcp_servers", "tests", "benchmarks"),
    "mcp_servers": ("manager", "nodes", "wire", "tests", "benchmarks"),
}
CONCRETE = (
    "manager.stores.sqlite",
    "manager.stores.mongo",
    "manager.launchers.process",
    "manager.launchers.external",
    "mcp_servers.web.caching.sqlite",
    *(f"mcp_servers.web.searching.{name}" for name in ("brave", "jina", "metasearch")),
    *(f"mcp_servers.web.searching.{name}" for name in ("searxng", "serper", "tavily")),
)
"""Implementations of a protocol: only the assembly knows them."""

DRIVERS = {
    "motor": ("manager/stores/mongo.py",),
    "pymongo": ("manager/stores/mongo.py",),
    "bson": ("manager/stores/mongo.py",),
    "opentelemetry": ("manager/tracing.py",),
    "ddgs": ("mcp_servers/web/searching/metasearch.py",),
    "playwright": (
        "mcp_servers/web/browsing/chromium.py",
        "mcp_servers/web/browsing/rendering.py",
        "mcp_servers/web/browsing/visit.py",
    ),
}
"""Packages that only a setting selects, and the only files that import them."""

ALONE = (
    "nodes/guardian.py",
    "mcp_servers/sandbox/confined/first.py",
    "mcp_servers/sandbox/confined/worker.py",
    "mcp_servers/sandbox/confined/cell.py",
    "mcp_servers/web/browsing/keeper.py",
    "mcp_servers/web/browsing/launcher.py",
)
"""Programs that start without our packages' dependencies."""

MAY_END_PROCESSES = (
    "nodes/ending.py",
    "nodes/guardian.py",
    "manager/launchers/*.py",
    "mcp_servers/sandbox/confined/*.py",
    "mcp_servers/sandbox/levels/*.py",
    "mcp_servers/web/browsing/keeper.py",
    "mcp_servers/web/reading/workers.py",
)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_what_it_may(package: str) -> None:
    wrong = [
        f"{source.path} imports {module}"
        for source in sources(package)
        for module in source.imports()
        if module.split(".")[0] in FORBIDDEN[package]
    ]
    assert wrong == []


def test_only_the_assembly_knows_concrete_classes() -> None:
    wrong = [
        f"{source.path} imports {module}"
        for source in sources(*PACKAGES)
        for module in source.imports()
        if module.startswith(CONCRETE)
        and not source.path.endswith("/app.py")
        # An implementation may be spread over files beside it.
        and not any(source.path.startswith(name.replace(".", "/")) for name in CONCRETE)
    ]
    assert wrong == []


def test_a_driver_is_imported_in_one_place() -> None:
    wrong = [
        f"{source.path} imports {module}"
        for source in sources(*PACKAGES)
        for module in source.imports()
        if source.path not in DRIVERS.get(module.split(".")[0], (source.path,))
    ]
    assert wrong == []


def test_a_driver_that_no_setting_selects_is_not_loaded() -> None:
    program = "import sys, manager.__main__, nodes.__main__; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, text=True).split()
    # The SDK of MCP loads OpenTelemetry's API, which alone does nothing.
    assert (set(DRIVERS) - {"opentelemetry"}) & set(loaded) == set()
    assert "opentelemetry.sdk" not in loaded


@pytest.mark.parametrize("path", ALONE)
def test_a_program_that_starts_alone_needs_the_standard_library_only(path: str) -> None:
    [source] = [source for source in sources("nodes", "mcp_servers") if source.path == path]
    foreign = {module.split(".")[0] for module in source.imports()} - sys.stdlib_module_names
    assert foreign <= {"mcp_servers"}


def test_processes_are_ended_only_where_that_is_the_task() -> None:
    wrong = [
        f"{source.path}: {called}"
        for source in sources(*PACKAGES)
        if not any(fnmatch(source.path, allowed) for allowed in MAY_END_PROCESSES)
        for called in _endings(source)
    ]
    assert wrong == []


def _endings(source: Source) -> list[str]:
    names = ("os.kill", "os.killpg", "signal.pidfd_send_signal")
    methods = (".send_signal", ".terminate", ".kill")
    return [called for called, _ in source.calls() if called in names or called.endswith(methods)]
