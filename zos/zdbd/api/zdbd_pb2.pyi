# mypy: ignore-errors
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Namespace(_message.Message):
    __slots__ = ("id", "pool", "path", "size", "mode", "password", "public", "frozen")
    ID_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_FIELD_NUMBER: _ClassVar[int]
    FROZEN_FIELD_NUMBER: _ClassVar[int]
    id: str
    pool: str
    path: str
    size: int
    mode: str
    password: str
    public: bool
    frozen: bool
    def __init__(self, id: _Optional[str] = ..., pool: _Optional[str] = ..., path: _Optional[str] = ..., size: _Optional[int] = ..., mode: _Optional[str] = ..., password: _Optional[str] = ..., public: _Optional[bool] = ..., frozen: _Optional[bool] = ...) -> None: ...

class NamespaceInfo(_message.Message):
    __slots__ = ("id", "pool", "size", "mode", "public", "frozen", "addresses", "port", "entries", "used", "detail")
    ID_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_FIELD_NUMBER: _ClassVar[int]
    FROZEN_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    id: str
    pool: str
    size: int
    mode: str
    public: bool
    frozen: bool
    addresses: _containers.RepeatedScalarFieldContainer[str]
    port: int
    entries: int
    used: int
    detail: str
    def __init__(self, id: _Optional[str] = ..., pool: _Optional[str] = ..., size: _Optional[int] = ..., mode: _Optional[str] = ..., public: _Optional[bool] = ..., frozen: _Optional[bool] = ..., addresses: _Optional[_Iterable[str]] = ..., port: _Optional[int] = ..., entries: _Optional[int] = ..., used: _Optional[int] = ..., detail: _Optional[str] = ...) -> None: ...

class DropNamespaceRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class DropNamespaceReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListNamespacesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Namespaces(_message.Message):
    __slots__ = ("namespaces",)
    NAMESPACES_FIELD_NUMBER: _ClassVar[int]
    namespaces: _containers.RepeatedCompositeFieldContainer[NamespaceInfo]
    def __init__(self, namespaces: _Optional[_Iterable[_Union[NamespaceInfo, _Mapping]]] = ...) -> None: ...
