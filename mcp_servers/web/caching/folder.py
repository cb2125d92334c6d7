"""Where results are kept: the folder that is named, else one for the moment that is ours alone."""

from __future__ import annotations

import logging
import os
import stat
import tempfile
from pathlib import Path

log = logging.getLogger(__name__)


def folder_for_cache(wanted: Path) -> Path | None:
    """Return a folder that can be made; None if there is none that is safe.

    Args:
        wanted: The one that is named.
    """
    try:
        wanted.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        own = Path(tempfile.gettempdir()) / f"agentdock-web-{os.geteuid()}"
        log.warning("%s cannot be made (%s); results are kept in %s", wanted, error.strerror, own)
        return _private(own)
    return wanted


def _private(folder: Path) -> Path | None:
    """Return a folder that nobody else can write in; None if another has made it what it is.

    Everybody knows its name, and may have been there before us: what lies there would be taken
    for what we kept, or what we keep be written where it leads.
    """
    try:
        folder.mkdir(0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        why = error.strerror or type(error).__name__
    else:
        theirs = found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077
        why = "it is not private to us" if theirs else ""
        if not stat.S_ISDIR(found.st_mode):
            why = "it is no folder of ours"
    if not why:
        return folder
    log.warning("nothing is kept in %s: %s. Name another folder by WEB_CACHE_DIR.", folder, why)
    return None
