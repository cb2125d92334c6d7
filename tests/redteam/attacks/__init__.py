"""All attacks, by class: one file for each class."""

from __future__ import annotations

from tests.redteam.attack import Attack
from tests.redteam.attacks import (
    dos,
    escape,
    isolation,
    kernel,
    lifecycle,
    network,
    output,
    owners,
    secrets,
    semantics,
    ssrf,
    timeouts,
    transfer,
)

CLASSES: dict[str, tuple[Attack, ...]] = {
    "escape": escape.ATTACKS,
    "isolation": isolation.ATTACKS,
    "owners": owners.ATTACKS,
    "secrets": secrets.ATTACKS,
    "kernel": kernel.ATTACKS,
    "network": network.ATTACKS,
    "ssrf": ssrf.ATTACKS,
    "transfer": transfer.ATTACKS,
    "dos": dos.ATTACKS,
    "output": output.ATTACKS,
    "timeouts": timeouts.ATTACKS,
    "lifecycle": lifecycle.ATTACKS,
    "semantics": semantics.ATTACKS,
}
ALL = tuple(attack for attacks in CLASSES.values() for attack in attacks)
