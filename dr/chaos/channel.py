"""What the experiment's process says to `dr`, on the pipe whose number is in DR_CHANNEL."""

from __future__ import annotations

import logging
import os

from dr.core.chaos import CHANNEL, Said, say

_LOG = logging.getLogger("chaostoolkit")


def send(message: Said) -> None:
    """Write a message as one line; without a channel, as under the stock `chaos run`, nothing is said."""
    number = os.environ.get(CHANNEL)
    if not number:
        return
    rest = say(message)
    try:
        while rest:
            rest = rest[os.write(int(number), rest) :]
    except (OSError, ValueError) as error:
        # The fault must be undone whether or not somebody listens.
        _LOG.warning("nobody hears what this experiment says (%s=%s): %s", CHANNEL, number, error)
