"""The door of provisiond."""

from zos.provisiond.api.client import ProvisiondClient
from zos.provisiond.api.errors import (
    BadUpdate,
    DeploymentExists,
    NameTaken,
    NoSuchDeployment,
    TwinMismatch,
    WrongContract,
)
from zos.provisiond.api.types import Link, Progress, Usage, Why

__all__ = [
    "BadUpdate",
    "DeploymentExists",
    "Link",
    "NameTaken",
    "NoSuchDeployment",
    "Progress",
    "ProvisiondClient",
    "TwinMismatch",
    "Usage",
    "Why",
    "WrongContract",
]
