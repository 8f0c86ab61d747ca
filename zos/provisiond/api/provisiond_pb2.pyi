# mypy: ignore-errors
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DeployRequest(_message.Message):
    __slots__ = ("document", "sender")
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    document: bytes
    sender: int
    def __init__(self, document: _Optional[bytes] = ..., sender: _Optional[int] = ...) -> None: ...

class DeployReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetDeploymentRequest(_message.Message):
    __slots__ = ("contract", "twin")
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    TWIN_FIELD_NUMBER: _ClassVar[int]
    contract: int
    twin: int
    def __init__(self, contract: _Optional[int] = ..., twin: _Optional[int] = ...) -> None: ...

class Document(_message.Message):
    __slots__ = ("json",)
    JSON_FIELD_NUMBER: _ClassVar[int]
    json: bytes
    def __init__(self, json: _Optional[bytes] = ...) -> None: ...

class ListDeploymentsRequest(_message.Message):
    __slots__ = ("twin", "types", "active", "brief", "keys")
    TWIN_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    BRIEF_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    twin: int
    types: _containers.RepeatedScalarFieldContainer[str]
    active: bool
    brief: bool
    keys: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, twin: _Optional[int] = ..., types: _Optional[_Iterable[str]] = ..., active: _Optional[bool] = ..., brief: _Optional[bool] = ..., keys: _Optional[_Iterable[str]] = ...) -> None: ...

class GetUsageRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Usage(_message.Message):
    __slots__ = ("cru", "sru", "hru", "mru", "ipv4u", "deployments", "workloads", "last_deployment")
    CRU_FIELD_NUMBER: _ClassVar[int]
    SRU_FIELD_NUMBER: _ClassVar[int]
    HRU_FIELD_NUMBER: _ClassVar[int]
    MRU_FIELD_NUMBER: _ClassVar[int]
    IPV4U_FIELD_NUMBER: _ClassVar[int]
    DEPLOYMENTS_FIELD_NUMBER: _ClassVar[int]
    WORKLOADS_FIELD_NUMBER: _ClassVar[int]
    LAST_DEPLOYMENT_FIELD_NUMBER: _ClassVar[int]
    cru: int
    sru: int
    hru: int
    mru: int
    ipv4u: int
    deployments: int
    workloads: int
    last_deployment: int
    def __init__(self, cru: _Optional[int] = ..., sru: _Optional[int] = ..., hru: _Optional[int] = ..., mru: _Optional[int] = ..., ipv4u: _Optional[int] = ..., deployments: _Optional[int] = ..., workloads: _Optional[int] = ..., last_deployment: _Optional[int] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("contract", "workload")
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    WORKLOAD_FIELD_NUMBER: _ClassVar[int]
    contract: int
    workload: str
    def __init__(self, contract: _Optional[int] = ..., workload: _Optional[str] = ...) -> None: ...

class HistoryEntry(_message.Message):
    __slots__ = ("what", "detail", "at", "took", "workload")
    WHAT_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    TOOK_FIELD_NUMBER: _ClassVar[int]
    WORKLOAD_FIELD_NUMBER: _ClassVar[int]
    what: str
    detail: str
    at: float
    took: float
    workload: str
    def __init__(self, what: _Optional[str] = ..., detail: _Optional[str] = ..., at: _Optional[float] = ..., took: _Optional[float] = ..., workload: _Optional[str] = ...) -> None: ...

class Why(_message.Message):
    __slots__ = ("sentence", "history")
    SENTENCE_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    sentence: str
    history: _containers.RepeatedCompositeFieldContainer[HistoryEntry]
    def __init__(self, sentence: _Optional[str] = ..., history: _Optional[_Iterable[_Union[HistoryEntry, _Mapping]]] = ...) -> None: ...

class WatchRequest(_message.Message):
    __slots__ = ("contract",)
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    contract: int
    def __init__(self, contract: _Optional[int] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("contract", "workload", "type", "state", "message", "at", "version")
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    WORKLOAD_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    contract: int
    workload: str
    type: str
    state: str
    message: str
    at: float
    version: int
    def __init__(self, contract: _Optional[int] = ..., workload: _Optional[str] = ..., type: _Optional[str] = ..., state: _Optional[str] = ..., message: _Optional[str] = ..., at: _Optional[float] = ..., version: _Optional[int] = ...) -> None: ...
