# mypy: ignore-errors
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MachineDisk(_message.Message):
    __slots__ = ("path", "target")
    PATH_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    path: str
    target: str
    def __init__(self, path: _Optional[str] = ..., target: _Optional[str] = ...) -> None: ...

class Share(_message.Message):
    __slots__ = ("tag", "path", "target")
    TAG_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    tag: str
    path: str
    target: str
    def __init__(self, tag: _Optional[str] = ..., path: _Optional[str] = ..., target: _Optional[str] = ...) -> None: ...

class Route(_message.Message):
    __slots__ = ("dest", "via")
    DEST_FIELD_NUMBER: _ClassVar[int]
    VIA_FIELD_NUMBER: _ClassVar[int]
    dest: str
    via: str
    def __init__(self, dest: _Optional[str] = ..., via: _Optional[str] = ...) -> None: ...

class Nic(_message.Message):
    __slots__ = ("tap", "mac", "addresses", "gateway", "gateway6", "routes")
    TAP_FIELD_NUMBER: _ClassVar[int]
    MAC_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    GATEWAY6_FIELD_NUMBER: _ClassVar[int]
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    tap: str
    mac: str
    addresses: _containers.RepeatedScalarFieldContainer[str]
    gateway: str
    gateway6: str
    routes: _containers.RepeatedCompositeFieldContainer[Route]
    def __init__(self, tap: _Optional[str] = ..., mac: _Optional[str] = ..., addresses: _Optional[_Iterable[str]] = ..., gateway: _Optional[str] = ..., gateway6: _Optional[str] = ..., routes: _Optional[_Iterable[_Union[Route, _Mapping]]] = ...) -> None: ...

class Machine(_message.Message):
    __slots__ = ("id", "name", "kind", "cpu", "memory", "root", "kernel", "initrd", "disks", "shares", "nics", "env", "entrypoint", "ssh_keys", "nameservers", "paused")
    class EnvEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    CPU_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    ROOT_FIELD_NUMBER: _ClassVar[int]
    KERNEL_FIELD_NUMBER: _ClassVar[int]
    INITRD_FIELD_NUMBER: _ClassVar[int]
    DISKS_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    NICS_FIELD_NUMBER: _ClassVar[int]
    ENV_FIELD_NUMBER: _ClassVar[int]
    ENTRYPOINT_FIELD_NUMBER: _ClassVar[int]
    SSH_KEYS_FIELD_NUMBER: _ClassVar[int]
    NAMESERVERS_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    kind: str
    cpu: int
    memory: int
    root: str
    kernel: str
    initrd: str
    disks: _containers.RepeatedCompositeFieldContainer[MachineDisk]
    shares: _containers.RepeatedCompositeFieldContainer[Share]
    nics: _containers.RepeatedCompositeFieldContainer[Nic]
    env: _containers.ScalarMap[str, str]
    entrypoint: str
    ssh_keys: _containers.RepeatedScalarFieldContainer[str]
    nameservers: _containers.RepeatedScalarFieldContainer[str]
    paused: bool
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., kind: _Optional[str] = ..., cpu: _Optional[int] = ..., memory: _Optional[int] = ..., root: _Optional[str] = ..., kernel: _Optional[str] = ..., initrd: _Optional[str] = ..., disks: _Optional[_Iterable[_Union[MachineDisk, _Mapping]]] = ..., shares: _Optional[_Iterable[_Union[Share, _Mapping]]] = ..., nics: _Optional[_Iterable[_Union[Nic, _Mapping]]] = ..., env: _Optional[_Mapping[str, str]] = ..., entrypoint: _Optional[str] = ..., ssh_keys: _Optional[_Iterable[str]] = ..., nameservers: _Optional[_Iterable[str]] = ..., paused: _Optional[bool] = ...) -> None: ...

class MachineInfo(_message.Message):
    __slots__ = ("id", "state", "since", "restarts", "next_try", "detail", "pid", "accel", "phases")
    class PhasesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_TRY_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    ACCEL_FIELD_NUMBER: _ClassVar[int]
    PHASES_FIELD_NUMBER: _ClassVar[int]
    id: str
    state: str
    since: float
    restarts: int
    next_try: float
    detail: str
    pid: int
    accel: str
    phases: _containers.ScalarMap[str, float]
    def __init__(self, id: _Optional[str] = ..., state: _Optional[str] = ..., since: _Optional[float] = ..., restarts: _Optional[int] = ..., next_try: _Optional[float] = ..., detail: _Optional[str] = ..., pid: _Optional[int] = ..., accel: _Optional[str] = ..., phases: _Optional[_Mapping[str, float]] = ...) -> None: ...

class DropMachineRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class DropMachineReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetMachineRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class ListMachinesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Machines(_message.Message):
    __slots__ = ("machines",)
    MACHINES_FIELD_NUMBER: _ClassVar[int]
    machines: _containers.RepeatedCompositeFieldContainer[MachineInfo]
    def __init__(self, machines: _Optional[_Iterable[_Union[MachineInfo, _Mapping]]] = ...) -> None: ...

class ReadConsoleRequest(_message.Message):
    __slots__ = ("id", "max_bytes")
    ID_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    id: str
    max_bytes: int
    def __init__(self, id: _Optional[str] = ..., max_bytes: _Optional[int] = ...) -> None: ...

class WatchConsoleRequest(_message.Message):
    __slots__ = ("id", "max_bytes", "since")
    ID_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    id: str
    max_bytes: int
    since: int
    def __init__(self, id: _Optional[str] = ..., max_bytes: _Optional[int] = ..., since: _Optional[int] = ...) -> None: ...

class ConsoleBytes(_message.Message):
    __slots__ = ("data", "end")
    DATA_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    end: int
    def __init__(self, data: _Optional[bytes] = ..., end: _Optional[int] = ...) -> None: ...

class SendConsoleRequest(_message.Message):
    __slots__ = ("id", "data")
    ID_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    id: str
    data: bytes
    def __init__(self, id: _Optional[str] = ..., data: _Optional[bytes] = ...) -> None: ...

class SendConsoleReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetAccelerationRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Acceleration(_message.Message):
    __slots__ = ("kind", "why")
    KIND_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    kind: str
    why: str
    def __init__(self, kind: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...
