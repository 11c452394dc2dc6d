"""What a machine lacks for a test: a reason to skip on somebody's own, and to fail in CI, where it would hide."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def lacking(reason: str) -> NoReturn:
    """Skip the test that runs, or its fixture's, for something that is not installed; in CI it fails."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
