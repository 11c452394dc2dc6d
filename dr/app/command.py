"""The command line of this process, as reports and logs may show it."""

from __future__ import annotations

import shlex
import sys

from dr.adapters.git import redact
from dr.core.redact import masked


def command() -> str:
    """Return the command that was given, to be typed again.

    Of a URL's user and password, and of settings that sound secret, nothing is left.
    """
    return shlex.join(["dr", *masked([redact(word) for word in sys.argv[1:]])])
