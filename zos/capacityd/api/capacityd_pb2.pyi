# mypy: ignore-errors
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetCountersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetInventoryRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetDmiRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetLocationRequest(_message.Message):
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

class Property(_message.Message):
    __slots__ = ("value", "items")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    value: str
    items: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, value: _Optional[str] = ..., items: _Optional[_Iterable[str]] = ...) -> None: ...

class Subsection(_message.Message):
    __slots__ = ("title", "properties")
    class PropertiesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Property
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Property, _Mapping]] = ...) -> None: ...
    TITLE_FIELD_NUMBER: _ClassVar[int]
    PROPERTIES_FIELD_NUMBER: _ClassVar[int]
    title: str
    properties: _containers.MessageMap[str, Property]
    def __init__(self, title: _Optional[str] = ..., properties: _Optional[_Mapping[str, Property]] = ...) -> None: ...

class Section(_message.Message):
    __slots__ = ("handle", "kind", "number", "subsections")
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    SUBSECTIONS_FIELD_NUMBER: _ClassVar[int]
    handle: str
    kind: str
    number: int
    subsections: _containers.RepeatedCompositeFieldContainer[Subsection]
    def __init__(self, handle: _Optional[str] = ..., kind: _Optional[str] = ..., number: _Optional[int] = ..., subsections: _Optional[_Iterable[_Union[Subsection, _Mapping]]] = ...) -> None: ...

class Dmi(_message.Message):
    __slots__ = ("tool", "sections")
    TOOL_FIELD_NUMBER: _ClassVar[int]
    SECTIONS_FIELD_NUMBER: _ClassVar[int]
    tool: str
    sections: _containers.RepeatedCompositeFieldContainer[Section]
    def __init__(self, tool: _Optional[str] = ..., sections: _Optional[_Iterable[_Union[Section, _Mapping]]] = ...) -> None: ...

class Location(_message.Message):
    __slots__ = ("longitude", "latitude", "continent", "country_name", "country_code", "city_name")
    LONGITUDE_FIELD_NUMBER: _ClassVar[int]
    LATITUDE_FIELD_NUMBER: _ClassVar[int]
    CONTINENT_FIELD_NUMBER: _ClassVar[int]
    COUNTRY_NAME_FIELD_NUMBER: _ClassVar[int]
    COUNTRY_CODE_FIELD_NUMBER: _ClassVar[int]
    CITY_NAME_FIELD_NUMBER: _ClassVar[int]
    longitude: float
    latitude: float
    continent: str
    country_name: str
    country_code: str
    city_name: str
    def __init__(self, longitude: _Optional[float] = ..., latitude: _Optional[float] = ..., continent: _Optional[str] = ..., country_name: _Optional[str] = ..., country_code: _Optional[str] = ..., city_name: _Optional[str] = ...) -> None: ...
