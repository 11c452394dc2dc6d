"""The command line of this process, as reports and logs may show it."""

from __future__ import annotations

import shlex
import sys

from dr.adapters.git import redact


def command() -> str:
    """Return the command that was given, to be typed again; of a URL's user and password nothing is left."""
    return shlex.join(["dr", *map(redact, sys.argv[1:])])
