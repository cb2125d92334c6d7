"""Builds the images, starts the platform once for all tests, and checks that nothing is left."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from tests.compose.deployment import IMAGES, MANAGER, Deployment

BASE = "AGENTDOCK_TEST_BASE_IMAGE"
"""Names a Python image to build from; unset, all is built without an image registry."""

BUILD_S = 600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder; none is among the fast ones."""
    for item in items:
        if item.path.parent.name == "compose":
            item.add_marker(pytest.mark.compose)
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment with its images; nothing runs yet."""
    deployment = Deployment(tmp_path_factory.mktemp("agentdock"))
    deployment.copy_project()
    begun = time.monotonic()
    if base := os.environ.get(BASE):
        (deployment.folder / ".env").write_text(f"BASE_IMAGE={base}\n")
        deployment.compose("build", timeout=BUILD_S)
    else:
        said = deployment.run("make", "images-offline", timeout=BUILD_S)
        lines = [line for line in said.splitlines() if line.startswith(("BASE_", "MONGO_"))]
        (deployment.folder / ".env").write_text("\n".join([*lines, ""]))
    print(f"images built in {time.monotonic() - begun:.0f} s")
    yield deployment
    deployment.client.close()
    for image in IMAGES:
        deployment.run("docker", "image", "rm", "--force", f"{image}:{deployment.project}")


@pytest.fixture(scope="session")
def running(built: Deployment) -> Iterator[Deployment]:
    """The deployment, healthy; in the end all of it is gone."""
    begun = time.monotonic()
    try:
        built.up()
        print(f"healthy after {time.monotonic() - begun:.1f} s")
        yield built
    finally:
        if os.environ.get("CI") == "true":
            print(built.compose("logs", "--tail", "40", MANAGER))
        built.compose("down", "--volumes", "--remove-orphans")
    assert built.left() == []


@pytest.fixture
def deployment(running: Deployment) -> Deployment:
    """The deployment with everything healthy, whatever the test before did to it."""
    running.up()
    return running
