# mypy: ignore-errors
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Disk(_message.Message):
    __slots__ = ("id", "size")
    ID_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    id: str
    size: int
    def __init__(self, id: _Optional[str] = ..., size: _Optional[int] = ...) -> None: ...

class DiskInfo(_message.Message):
    __slots__ = ("id", "size", "path", "pool", "image", "used", "detail")
    ID_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    id: str
    size: int
    path: str
    pool: str
    image: str
    used: int
    detail: str
    def __init__(self, id: _Optional[str] = ..., size: _Optional[int] = ..., path: _Optional[str] = ..., pool: _Optional[str] = ..., image: _Optional[str] = ..., used: _Optional[int] = ..., detail: _Optional[str] = ...) -> None: ...

class Volume(_message.Message):
    __slots__ = ("id", "size", "kind", "owner")
    ID_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    id: str
    size: int
    kind: str
    owner: int
    def __init__(self, id: _Optional[str] = ..., size: _Optional[int] = ..., kind: _Optional[str] = ..., owner: _Optional[int] = ...) -> None: ...

class VolumeInfo(_message.Message):
    __slots__ = ("id", "size", "path", "pool", "used", "detail")
    ID_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    id: str
    size: int
    path: str
    pool: str
    used: int
    detail: str
    def __init__(self, id: _Optional[str] = ..., size: _Optional[int] = ..., path: _Optional[str] = ..., pool: _Optional[str] = ..., used: _Optional[int] = ..., detail: _Optional[str] = ...) -> None: ...

class FillDiskRequest(_message.Message):
    __slots__ = ("id", "source_root", "source", "image")
    ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ROOT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    id: str
    source_root: str
    source: str
    image: str
    def __init__(self, id: _Optional[str] = ..., source_root: _Optional[str] = ..., source: _Optional[str] = ..., image: _Optional[str] = ...) -> None: ...

class Evidence(_message.Message):
    __slots__ = ("kind", "contract", "block", "detail")
    KIND_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    kind: str
    contract: int
    block: int
    detail: str
    def __init__(self, kind: _Optional[str] = ..., contract: _Optional[int] = ..., block: _Optional[int] = ..., detail: _Optional[str] = ...) -> None: ...

class DropRequest(_message.Message):
    __slots__ = ("id", "evidence")
    ID_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    id: str
    evidence: Evidence
    def __init__(self, id: _Optional[str] = ..., evidence: _Optional[_Union[Evidence, _Mapping]] = ...) -> None: ...

class DropReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListDisksRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class Disks(_message.Message):
    __slots__ = ("disks",)
    DISKS_FIELD_NUMBER: _ClassVar[int]
    disks: _containers.RepeatedCompositeFieldContainer[DiskInfo]
    def __init__(self, disks: _Optional[_Iterable[_Union[DiskInfo, _Mapping]]] = ...) -> None: ...

class ListVolumesRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class Volumes(_message.Message):
    __slots__ = ("volumes",)
    VOLUMES_FIELD_NUMBER: _ClassVar[int]
    volumes: _containers.RepeatedCompositeFieldContainer[VolumeInfo]
    def __init__(self, volumes: _Optional[_Iterable[_Union[VolumeInfo, _Mapping]]] = ...) -> None: ...

class Pool(_message.Message):
    __slots__ = ("name", "kind", "device", "size", "usable", "promised", "system", "kept", "state", "detail")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    USABLE_FIELD_NUMBER: _ClassVar[int]
    PROMISED_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: str
    device: str
    size: int
    usable: int
    promised: int
    system: int
    kept: int
    state: str
    detail: str
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[str] = ..., device: _Optional[str] = ..., size: _Optional[int] = ..., usable: _Optional[int] = ..., promised: _Optional[int] = ..., system: _Optional[int] = ..., kept: _Optional[int] = ..., state: _Optional[str] = ..., detail: _Optional[str] = ...) -> None: ...

class ListPoolsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Pools(_message.Message):
    __slots__ = ("pools",)
    POOLS_FIELD_NUMBER: _ClassVar[int]
    pools: _containers.RepeatedCompositeFieldContainer[Pool]
    def __init__(self, pools: _Optional[_Iterable[_Union[Pool, _Mapping]]] = ...) -> None: ...

class Tombstone(_message.Message):
    __slots__ = ("id", "kind", "size", "created", "expires", "pool", "evidence", "key", "used")
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    id: str
    kind: str
    size: int
    created: float
    expires: float
    pool: str
    evidence: Evidence
    key: str
    used: int
    def __init__(self, id: _Optional[str] = ..., kind: _Optional[str] = ..., size: _Optional[int] = ..., created: _Optional[float] = ..., expires: _Optional[float] = ..., pool: _Optional[str] = ..., evidence: _Optional[_Union[Evidence, _Mapping]] = ..., key: _Optional[str] = ..., used: _Optional[int] = ...) -> None: ...

class ListTombstonesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Tombstones(_message.Message):
    __slots__ = ("tombstones",)
    TOMBSTONES_FIELD_NUMBER: _ClassVar[int]
    tombstones: _containers.RepeatedCompositeFieldContainer[Tombstone]
    def __init__(self, tombstones: _Optional[_Iterable[_Union[Tombstone, _Mapping]]] = ...) -> None: ...

class UndeleteRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class GetCacheRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
