# mypy: ignore-errors
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetCountersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetInventoryRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Capacity(_message.Message):
    __slots__ = ("cru", "sru", "hru", "mru", "ipv4u")
    CRU_FIELD_NUMBER: _ClassVar[int]
    SRU_FIELD_NUMBER: _ClassVar[int]
    HRU_FIELD_NUMBER: _ClassVar[int]
    MRU_FIELD_NUMBER: _ClassVar[int]
    IPV4U_FIELD_NUMBER: _ClassVar[int]
    cru: int
    sru: int
    hru: int
    mru: int
    ipv4u: int
    def __init__(self, cru: _Optional[int] = ..., sru: _Optional[int] = ..., hru: _Optional[int] = ..., mru: _Optional[int] = ..., ipv4u: _Optional[int] = ...) -> None: ...

class Inventory(_message.Message):
    __slots__ = ("total", "virtualized", "hypervisor", "secure_boot", "serial_number", "uptime")
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    VIRTUALIZED_FIELD_NUMBER: _ClassVar[int]
    HYPERVISOR_FIELD_NUMBER: _ClassVar[int]
    SECURE_BOOT_FIELD_NUMBER: _ClassVar[int]
    SERIAL_NUMBER_FIELD_NUMBER: _ClassVar[int]
    UPTIME_FIELD_NUMBER: _ClassVar[int]
    total: Capacity
    virtualized: bool
    hypervisor: str
    secure_boot: bool
    serial_number: str
    uptime: int
    def __init__(self, total: _Optional[_Union[Capacity, _Mapping]] = ..., virtualized: _Optional[bool] = ..., hypervisor: _Optional[str] = ..., secure_boot: _Optional[bool] = ..., serial_number: _Optional[str] = ..., uptime: _Optional[int] = ...) -> None: ...

class Counters(_message.Message):
    __slots__ = ("total", "used", "system", "free", "deployments", "workloads", "last_deployment", "open_connections")
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_FIELD_NUMBER: _ClassVar[int]
    FREE_FIELD_NUMBER: _ClassVar[int]
    DEPLOYMENTS_FIELD_NUMBER: _ClassVar[int]
    WORKLOADS_FIELD_NUMBER: _ClassVar[int]
    LAST_DEPLOYMENT_FIELD_NUMBER: _ClassVar[int]
    OPEN_CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    total: Capacity
    used: Capacity
    system: Capacity
    free: Capacity
    deployments: int
    workloads: int
    last_deployment: int
    open_connections: int
    def __init__(self, total: _Optional[_Union[Capacity, _Mapping]] = ..., used: _Optional[_Union[Capacity, _Mapping]] = ..., system: _Optional[_Union[Capacity, _Mapping]] = ..., free: _Optional[_Union[Capacity, _Mapping]] = ..., deployments: _Optional[int] = ..., workloads: _Optional[int] = ..., last_deployment: _Optional[int] = ..., open_connections: _Optional[int] = ...) -> None: ...
