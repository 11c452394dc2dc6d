"""The exception tree.

DrError                 an error with a cause and what to do next; never shown as a traceback
├── UsageError          the call cannot be carried out as written (exit code 2)
│   ├── ConfigError     dr.yaml or another file of ours is wrong, with file:line
│   └── NotFound        a name that matches no object, or more than one
└── ToolError           a tool or the infrastructure failed (exit code 3)
    ├── RepoError       a config repo cannot be opened or read
    ├── ApiError        a Kubernetes API server refused, or could not be reached; knows whether it can heal
    ├── LockError       the target is not the cluster that was meant, or another run holds it
    └── StoreError      what happens can no longer be written down, so nothing more may happen
"""

from __future__ import annotations


class DrError(Exception):
    """An error for people: `cause` in a sentence, `remedy` what to do next."""

    exit_code = 3

    def __init__(self, cause: str, remedy: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.remedy = remedy


class UsageError(DrError):
    """The call cannot be carried out as written."""

    exit_code = 2


class ConfigError(UsageError):
    """dr.yaml or another file of ours is wrong."""


class NotFound(UsageError):
    """A name matches no object, or more than one."""


class ToolError(DrError):
    """A tool or the infrastructure failed."""


class RepoError(ToolError):
    """A config repo cannot be opened or read."""


class ApiError(ToolError):
    """A Kubernetes API server refused, or could not be reached.

    `heals`: the same call may succeed later; `delay` how many seconds the server asks to wait, if it says.
    `status` is the HTTP status, 0 without an answer; `reason` the API's word for it (`NotFound`, `Conflict`, …).
    `rest`: where a list that took too long may go on, if the server says.
    """

    def __init__(
        self,
        cause: str,
        *,
        status: int = 0,
        reason: str = "",
        heals: bool = False,
        delay: float = 0.0,
        remedy: str = "",
        rest: str = "",
    ) -> None:
        super().__init__(cause, remedy)
        self.status = status
        self.reason = reason
        self.heals = heals
        self.delay = delay
        self.rest = rest


class LockError(ToolError):
    """The target is not the cluster that was meant, or another run holds it."""


class StoreError(ToolError):
    """What happens can no longer be written down."""
