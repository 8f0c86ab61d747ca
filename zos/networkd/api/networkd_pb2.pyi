# mypy: ignore-errors
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Peer(_message.Message):
    __slots__ = ("subnet", "public_key", "endpoint", "allowed_ips")
    SUBNET_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_IPS_FIELD_NUMBER: _ClassVar[int]
    subnet: str
    public_key: str
    endpoint: str
    allowed_ips: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, subnet: _Optional[str] = ..., public_key: _Optional[str] = ..., endpoint: _Optional[str] = ..., allowed_ips: _Optional[_Iterable[str]] = ...) -> None: ...

class Network(_message.Message):
    __slots__ = ("id", "twin", "name", "ip_range", "subnet", "private_key", "listen_port", "peers", "mycelium", "former")
    ID_FIELD_NUMBER: _ClassVar[int]
    TWIN_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    IP_RANGE_FIELD_NUMBER: _ClassVar[int]
    SUBNET_FIELD_NUMBER: _ClassVar[int]
    PRIVATE_KEY_FIELD_NUMBER: _ClassVar[int]
    LISTEN_PORT_FIELD_NUMBER: _ClassVar[int]
    PEERS_FIELD_NUMBER: _ClassVar[int]
    MYCELIUM_FIELD_NUMBER: _ClassVar[int]
    FORMER_FIELD_NUMBER: _ClassVar[int]
    id: str
    twin: int
    name: str
    ip_range: str
    subnet: str
    private_key: str
    listen_port: int
    peers: _containers.RepeatedCompositeFieldContainer[Peer]
    mycelium: str
    former: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[str] = ..., twin: _Optional[int] = ..., name: _Optional[str] = ..., ip_range: _Optional[str] = ..., subnet: _Optional[str] = ..., private_key: _Optional[str] = ..., listen_port: _Optional[int] = ..., peers: _Optional[_Iterable[_Union[Peer, _Mapping]]] = ..., mycelium: _Optional[str] = ..., former: _Optional[_Iterable[str]] = ...) -> None: ...

class PeerInfo(_message.Message):
    __slots__ = ("public_key", "endpoint", "last_handshake", "rx", "tx")
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    LAST_HANDSHAKE_FIELD_NUMBER: _ClassVar[int]
    RX_FIELD_NUMBER: _ClassVar[int]
    TX_FIELD_NUMBER: _ClassVar[int]
    public_key: str
    endpoint: str
    last_handshake: float
    rx: int
    tx: int
    def __init__(self, public_key: _Optional[str] = ..., endpoint: _Optional[str] = ..., last_handshake: _Optional[float] = ..., rx: _Optional[int] = ..., tx: _Optional[int] = ...) -> None: ...

class NetworkInfo(_message.Message):
    __slots__ = ("id", "twin", "name", "ip_range", "subnet", "namespace", "bridge", "public_key", "listen_port", "backend", "peers", "detail", "mycelium", "former")
    ID_FIELD_NUMBER: _ClassVar[int]
    TWIN_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    IP_RANGE_FIELD_NUMBER: _ClassVar[int]
    SUBNET_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    BRIDGE_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    LISTEN_PORT_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    PEERS_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    MYCELIUM_FIELD_NUMBER: _ClassVar[int]
    FORMER_FIELD_NUMBER: _ClassVar[int]
    id: str
    twin: int
    name: str
    ip_range: str
    subnet: str
    namespace: str
    bridge: str
    public_key: str
    listen_port: int
    backend: str
    peers: _containers.RepeatedCompositeFieldContainer[PeerInfo]
    detail: str
    mycelium: str
    former: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[str] = ..., twin: _Optional[int] = ..., name: _Optional[str] = ..., ip_range: _Optional[str] = ..., subnet: _Optional[str] = ..., namespace: _Optional[str] = ..., bridge: _Optional[str] = ..., public_key: _Optional[str] = ..., listen_port: _Optional[int] = ..., backend: _Optional[str] = ..., peers: _Optional[_Iterable[_Union[PeerInfo, _Mapping]]] = ..., detail: _Optional[str] = ..., mycelium: _Optional[str] = ..., former: _Optional[_Iterable[str]] = ...) -> None: ...

class DropNetworkRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class DropNetworkReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListNetworksRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Networks(_message.Message):
    __slots__ = ("networks",)
    NETWORKS_FIELD_NUMBER: _ClassVar[int]
    networks: _containers.RepeatedCompositeFieldContainer[NetworkInfo]
    def __init__(self, networks: _Optional[_Iterable[_Union[NetworkInfo, _Mapping]]] = ...) -> None: ...

class Tap(_message.Message):
    __slots__ = ("id", "place", "mac", "network", "ip", "seed", "owner", "waits", "overlay")
    ID_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    MAC_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    IP_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    WAITS_FIELD_NUMBER: _ClassVar[int]
    OVERLAY_FIELD_NUMBER: _ClassVar[int]
    id: str
    place: str
    mac: str
    network: str
    ip: str
    seed: bytes
    owner: str
    waits: bool
    overlay: str
    def __init__(self, id: _Optional[str] = ..., place: _Optional[str] = ..., mac: _Optional[str] = ..., network: _Optional[str] = ..., ip: _Optional[str] = ..., seed: _Optional[bytes] = ..., owner: _Optional[str] = ..., waits: _Optional[bool] = ..., overlay: _Optional[str] = ...) -> None: ...

class TapRoute(_message.Message):
    __slots__ = ("dest", "via")
    DEST_FIELD_NUMBER: _ClassVar[int]
    VIA_FIELD_NUMBER: _ClassVar[int]
    dest: str
    via: str
    def __init__(self, dest: _Optional[str] = ..., via: _Optional[str] = ...) -> None: ...

class TapInfo(_message.Message):
    __slots__ = ("id", "place", "network", "device", "bridge", "mac", "addresses", "gateway", "gateway6", "routes", "rx", "tx", "detail")
    ID_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    BRIDGE_FIELD_NUMBER: _ClassVar[int]
    MAC_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    GATEWAY6_FIELD_NUMBER: _ClassVar[int]
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    RX_FIELD_NUMBER: _ClassVar[int]
    TX_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    id: str
    place: str
    network: str
    device: str
    bridge: str
    mac: str
    addresses: _containers.RepeatedScalarFieldContainer[str]
    gateway: str
    gateway6: str
    routes: _containers.RepeatedCompositeFieldContainer[TapRoute]
    rx: int
    tx: int
    detail: str
    def __init__(self, id: _Optional[str] = ..., place: _Optional[str] = ..., network: _Optional[str] = ..., device: _Optional[str] = ..., bridge: _Optional[str] = ..., mac: _Optional[str] = ..., addresses: _Optional[_Iterable[str]] = ..., gateway: _Optional[str] = ..., gateway6: _Optional[str] = ..., routes: _Optional[_Iterable[_Union[TapRoute, _Mapping]]] = ..., rx: _Optional[int] = ..., tx: _Optional[int] = ..., detail: _Optional[str] = ...) -> None: ...

class DropTapRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class DropTapReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListTapsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Taps(_message.Message):
    __slots__ = ("taps",)
    TAPS_FIELD_NUMBER: _ClassVar[int]
    taps: _containers.RepeatedCompositeFieldContainer[TapInfo]
    def __init__(self, taps: _Optional[_Iterable[_Union[TapInfo, _Mapping]]] = ...) -> None: ...

class GetPlanetaryRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Planetary(_message.Message):
    __slots__ = ("offered", "detail", "address", "subnet", "gateway", "peers")
    OFFERED_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    SUBNET_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    PEERS_FIELD_NUMBER: _ClassVar[int]
    offered: bool
    detail: str
    address: str
    subnet: str
    gateway: str
    peers: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, offered: _Optional[bool] = ..., detail: _Optional[str] = ..., address: _Optional[str] = ..., subnet: _Optional[str] = ..., gateway: _Optional[str] = ..., peers: _Optional[_Iterable[str]] = ...) -> None: ...

class Uplink(_message.Message):
    __slots__ = ("name", "mac", "addresses")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MAC_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    name: str
    mac: str
    addresses: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., mac: _Optional[str] = ..., addresses: _Optional[_Iterable[str]] = ...) -> None: ...

class ListUplinksRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Uplinks(_message.Message):
    __slots__ = ("uplinks",)
    UPLINKS_FIELD_NUMBER: _ClassVar[int]
    uplinks: _containers.RepeatedCompositeFieldContainer[Uplink]
    def __init__(self, uplinks: _Optional[_Iterable[_Union[Uplink, _Mapping]]] = ...) -> None: ...

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

class ListWgPortsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WgPorts(_message.Message):
    __slots__ = ("ports",)
    PORTS_FIELD_NUMBER: _ClassVar[int]
    ports: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, ports: _Optional[_Iterable[int]] = ...) -> None: ...
