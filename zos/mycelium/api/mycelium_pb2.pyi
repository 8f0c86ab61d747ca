# mypy: ignore-errors
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Identity(_message.Message):
    __slots__ = ("id", "key", "namespace", "device", "former")
    ID_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    FORMER_FIELD_NUMBER: _ClassVar[int]
    id: str
    key: bytes
    namespace: str
    device: str
    former: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[str] = ..., key: _Optional[bytes] = ..., namespace: _Optional[str] = ..., device: _Optional[str] = ..., former: _Optional[_Iterable[str]] = ...) -> None: ...

class IdentityInfo(_message.Message):
    __slots__ = ("id", "address", "subnet", "gateway", "attached", "detail")
    ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    SUBNET_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    ATTACHED_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    id: str
    address: str
    subnet: str
    gateway: str
    attached: bool
    detail: str
    def __init__(self, id: _Optional[str] = ..., address: _Optional[str] = ..., subnet: _Optional[str] = ..., gateway: _Optional[str] = ..., attached: _Optional[bool] = ..., detail: _Optional[str] = ...) -> None: ...

class KeepFormerRequest(_message.Message):
    __slots__ = ("id", "subnets")
    ID_FIELD_NUMBER: _ClassVar[int]
    SUBNETS_FIELD_NUMBER: _ClassVar[int]
    id: str
    subnets: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[str] = ..., subnets: _Optional[_Iterable[str]] = ...) -> None: ...

class KeepFormerReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DropIdentityRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class DropIdentityReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetIdentityRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class ListIdentitiesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Identities(_message.Message):
    __slots__ = ("identities",)
    IDENTITIES_FIELD_NUMBER: _ClassVar[int]
    identities: _containers.RepeatedCompositeFieldContainer[IdentityInfo]
    def __init__(self, identities: _Optional[_Iterable[_Union[IdentityInfo, _Mapping]]] = ...) -> None: ...

class GetOverlayRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Overlay(_message.Message):
    __slots__ = ("offered", "detail", "address", "subnet", "port", "peers", "routes", "left_out")
    OFFERED_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    SUBNET_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    PEERS_FIELD_NUMBER: _ClassVar[int]
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    offered: bool
    detail: str
    address: str
    subnet: str
    port: int
    peers: _containers.RepeatedScalarFieldContainer[str]
    routes: int
    left_out: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, offered: _Optional[bool] = ..., detail: _Optional[str] = ..., address: _Optional[str] = ..., subnet: _Optional[str] = ..., port: _Optional[int] = ..., peers: _Optional[_Iterable[str]] = ..., routes: _Optional[int] = ..., left_out: _Optional[_Iterable[str]] = ...) -> None: ...
