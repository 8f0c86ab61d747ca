# mypy: ignore-errors
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Block(_message.Message):
    __slots__ = ("number", "hash")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    number: int
    hash: str
    def __init__(self, number: _Optional[int] = ..., hash: _Optional[str] = ...) -> None: ...

class ChainStatus(_message.Message):
    __slots__ = ("url", "connected", "spec", "finalized", "farm", "twin", "node", "detail")
    URL_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    FINALIZED_FIELD_NUMBER: _ClassVar[int]
    FARM_FIELD_NUMBER: _ClassVar[int]
    TWIN_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    url: str
    connected: bool
    spec: int
    finalized: Block
    farm: int
    twin: int
    node: int
    detail: str
    def __init__(self, url: _Optional[str] = ..., connected: _Optional[bool] = ..., spec: _Optional[int] = ..., finalized: _Optional[_Union[Block, _Mapping]] = ..., farm: _Optional[int] = ..., twin: _Optional[int] = ..., node: _Optional[int] = ..., detail: _Optional[str] = ...) -> None: ...

class GetContractRequest(_message.Message):
    __slots__ = ("id", "best")
    ID_FIELD_NUMBER: _ClassVar[int]
    BEST_FIELD_NUMBER: _ClassVar[int]
    id: int
    best: bool
    def __init__(self, id: _Optional[int] = ..., best: _Optional[bool] = ...) -> None: ...

class PublicIp(_message.Message):
    __slots__ = ("ip", "gateway", "contract")
    IP_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    ip: str
    gateway: str
    contract: int
    def __init__(self, ip: _Optional[str] = ..., gateway: _Optional[str] = ..., contract: _Optional[int] = ...) -> None: ...

class NodeContract(_message.Message):
    __slots__ = ("id", "twin", "node", "state", "grace_block", "deployment_hash", "deployment_data", "public_ips", "at")
    ID_FIELD_NUMBER: _ClassVar[int]
    TWIN_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    GRACE_BLOCK_FIELD_NUMBER: _ClassVar[int]
    DEPLOYMENT_HASH_FIELD_NUMBER: _ClassVar[int]
    DEPLOYMENT_DATA_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_IPS_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    id: int
    twin: int
    node: int
    state: str
    grace_block: int
    deployment_hash: str
    deployment_data: bytes
    public_ips: _containers.RepeatedCompositeFieldContainer[PublicIp]
    at: Block
    def __init__(self, id: _Optional[int] = ..., twin: _Optional[int] = ..., node: _Optional[int] = ..., state: _Optional[str] = ..., grace_block: _Optional[int] = ..., deployment_hash: _Optional[str] = ..., deployment_data: _Optional[bytes] = ..., public_ips: _Optional[_Iterable[_Union[PublicIp, _Mapping]]] = ..., at: _Optional[_Union[Block, _Mapping]] = ...) -> None: ...

class ListNodeContractsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class NodeContracts(_message.Message):
    __slots__ = ("ids",)
    IDS_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, ids: _Optional[_Iterable[int]] = ...) -> None: ...

class GetTwinRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: int
    def __init__(self, id: _Optional[int] = ...) -> None: ...

class Twin(_message.Message):
    __slots__ = ("id", "account", "relay", "pk")
    ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    RELAY_FIELD_NUMBER: _ClassVar[int]
    PK_FIELD_NUMBER: _ClassVar[int]
    id: int
    account: bytes
    relay: str
    pk: bytes
    def __init__(self, id: _Optional[int] = ..., account: _Optional[bytes] = ..., relay: _Optional[str] = ..., pk: _Optional[bytes] = ...) -> None: ...

class GetFarmRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: int
    def __init__(self, id: _Optional[int] = ...) -> None: ...

class Farm(_message.Message):
    __slots__ = ("id", "name", "twin")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TWIN_FIELD_NUMBER: _ClassVar[int]
    id: int
    name: str
    twin: int
    def __init__(self, id: _Optional[int] = ..., name: _Optional[str] = ..., twin: _Optional[int] = ...) -> None: ...

class GetPublicConfigRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PublicConfig(_message.Message):
    __slots__ = ("ip4", "gw4", "ip6", "gw6", "domain")
    IP4_FIELD_NUMBER: _ClassVar[int]
    GW4_FIELD_NUMBER: _ClassVar[int]
    IP6_FIELD_NUMBER: _ClassVar[int]
    GW6_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    ip4: str
    gw4: str
    ip6: str
    gw6: str
    domain: str
    def __init__(self, ip4: _Optional[str] = ..., gw4: _Optional[str] = ..., ip6: _Optional[str] = ..., gw6: _Optional[str] = ..., domain: _Optional[str] = ...) -> None: ...

class WatchContractsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ContractEvent(_message.Message):
    __slots__ = ("kind", "contract", "block")
    KIND_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    kind: str
    contract: int
    block: Block
    def __init__(self, kind: _Optional[str] = ..., contract: _Optional[int] = ..., block: _Optional[_Union[Block, _Mapping]] = ...) -> None: ...

class Interface(_message.Message):
    __slots__ = ("name", "mac", "ips")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MAC_FIELD_NUMBER: _ClassVar[int]
    IPS_FIELD_NUMBER: _ClassVar[int]
    name: str
    mac: str
    ips: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., mac: _Optional[str] = ..., ips: _Optional[_Iterable[str]] = ...) -> None: ...

class NodeRecord(_message.Message):
    __slots__ = ("farm", "cru", "mru", "sru", "hru", "interfaces", "city", "country", "latitude", "longitude", "secure_boot", "virtualized", "serial_number")
    FARM_FIELD_NUMBER: _ClassVar[int]
    CRU_FIELD_NUMBER: _ClassVar[int]
    MRU_FIELD_NUMBER: _ClassVar[int]
    SRU_FIELD_NUMBER: _ClassVar[int]
    HRU_FIELD_NUMBER: _ClassVar[int]
    INTERFACES_FIELD_NUMBER: _ClassVar[int]
    CITY_FIELD_NUMBER: _ClassVar[int]
    COUNTRY_FIELD_NUMBER: _ClassVar[int]
    LATITUDE_FIELD_NUMBER: _ClassVar[int]
    LONGITUDE_FIELD_NUMBER: _ClassVar[int]
    SECURE_BOOT_FIELD_NUMBER: _ClassVar[int]
    VIRTUALIZED_FIELD_NUMBER: _ClassVar[int]
    SERIAL_NUMBER_FIELD_NUMBER: _ClassVar[int]
    farm: int
    cru: int
    mru: int
    sru: int
    hru: int
    interfaces: _containers.RepeatedCompositeFieldContainer[Interface]
    city: str
    country: str
    latitude: str
    longitude: str
    secure_boot: bool
    virtualized: bool
    serial_number: str
    def __init__(self, farm: _Optional[int] = ..., cru: _Optional[int] = ..., mru: _Optional[int] = ..., sru: _Optional[int] = ..., hru: _Optional[int] = ..., interfaces: _Optional[_Iterable[_Union[Interface, _Mapping]]] = ..., city: _Optional[str] = ..., country: _Optional[str] = ..., latitude: _Optional[str] = ..., longitude: _Optional[str] = ..., secure_boot: _Optional[bool] = ..., virtualized: _Optional[bool] = ..., serial_number: _Optional[str] = ...) -> None: ...

class ReportUptimeRequest(_message.Message):
    __slots__ = ("uptime",)
    UPTIME_FIELD_NUMBER: _ClassVar[int]
    uptime: int
    def __init__(self, uptime: _Optional[int] = ...) -> None: ...

class ContractResources(_message.Message):
    __slots__ = ("contract", "cru", "sru", "hru", "mru")
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    CRU_FIELD_NUMBER: _ClassVar[int]
    SRU_FIELD_NUMBER: _ClassVar[int]
    HRU_FIELD_NUMBER: _ClassVar[int]
    MRU_FIELD_NUMBER: _ClassVar[int]
    contract: int
    cru: int
    sru: int
    hru: int
    mru: int
    def __init__(self, contract: _Optional[int] = ..., cru: _Optional[int] = ..., sru: _Optional[int] = ..., hru: _Optional[int] = ..., mru: _Optional[int] = ...) -> None: ...

class ReportResourcesRequest(_message.Message):
    __slots__ = ("resources",)
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    resources: _containers.RepeatedCompositeFieldContainer[ContractResources]
    def __init__(self, resources: _Optional[_Iterable[_Union[ContractResources, _Mapping]]] = ...) -> None: ...
