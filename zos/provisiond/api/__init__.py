"""The API of provisiond."""

from zos.provisiond.api.client import ProvisiondClient
from zos.provisiond.api.errors import (
    BadUpdate,
    DeploymentExists,
    NameTaken,
    NoSuchDeployment,
    TwinMismatch,
    WrongContract,
)
from zos.provisiond.api.types import HistoryEntry, Progress, Usage, Why

__all__ = [
    "BadUpdate",
    "DeploymentExists",
    "HistoryEntry",
    "NameTaken",
    "NoSuchDeployment",
    "Progress",
    "ProvisiondClient",
    "TwinMismatch",
    "Usage",
    "Why",
    "WrongContract",
]
