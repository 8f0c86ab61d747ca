# mypy: ignore-errors
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetIdentityRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Identity(_message.Message):
    __slots__ = ("public_key", "address", "e2e_key")
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    E2E_KEY_FIELD_NUMBER: _ClassVar[int]
    public_key: bytes
    address: str
    e2e_key: bytes
    def __init__(self, public_key: _Optional[bytes] = ..., address: _Optional[str] = ..., e2e_key: _Optional[bytes] = ...) -> None: ...

class SignRequest(_message.Message):
    __slots__ = ("purpose", "payload")
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    purpose: str
    payload: bytes
    def __init__(self, purpose: _Optional[str] = ..., payload: _Optional[bytes] = ...) -> None: ...

class Signature(_message.Message):
    __slots__ = ("signature",)
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    signature: bytes
    def __init__(self, signature: _Optional[bytes] = ...) -> None: ...

class AgreeRequest(_message.Message):
    __slots__ = ("e2e_key",)
    E2E_KEY_FIELD_NUMBER: _ClassVar[int]
    e2e_key: bytes
    def __init__(self, e2e_key: _Optional[bytes] = ...) -> None: ...

class SharedKey(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: bytes
    def __init__(self, key: _Optional[bytes] = ...) -> None: ...

class DeriveRequest(_message.Message):
    __slots__ = ("use",)
    USE_FIELD_NUMBER: _ClassVar[int]
    use: str
    def __init__(self, use: _Optional[str] = ...) -> None: ...

class DerivedKey(_message.Message):
    __slots__ = ("seed",)
    SEED_FIELD_NUMBER: _ClassVar[int]
    seed: bytes
    def __init__(self, seed: _Optional[bytes] = ...) -> None: ...

class ConfineRequest(_message.Message):
    __slots__ = ("pid", "part")
    PID_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    pid: int
    part: str
    def __init__(self, pid: _Optional[int] = ..., part: _Optional[str] = ...) -> None: ...

class Confined(_message.Message):
    __slots__ = ("missing",)
    MISSING_FIELD_NUMBER: _ClassVar[int]
    missing: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, missing: _Optional[_Iterable[str]] = ...) -> None: ...

class ListUnitsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Units(_message.Message):
    __slots__ = ("units",)
    UNITS_FIELD_NUMBER: _ClassVar[int]
    units: _containers.RepeatedCompositeFieldContainer[UnitInfo]
    def __init__(self, units: _Optional[_Iterable[_Union[UnitInfo, _Mapping]]] = ...) -> None: ...

class UnitInfo(_message.Message):
    __slots__ = ("name", "state", "pid", "restarts", "since", "next_try", "detail", "user")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    NEXT_TRY_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: str
    pid: int
    restarts: int
    since: float
    next_try: float
    detail: str
    user: int
    def __init__(self, name: _Optional[str] = ..., state: _Optional[str] = ..., pid: _Optional[int] = ..., restarts: _Optional[int] = ..., since: _Optional[float] = ..., next_try: _Optional[float] = ..., detail: _Optional[str] = ..., user: _Optional[int] = ...) -> None: ...
