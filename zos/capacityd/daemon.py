"""Wires capacityd: the machine, the loops, the API."""

from __future__ import annotations

from dataclasses import dataclass

from zos.capacityd.api.capacityd_pb2_grpc import add_CapacitydServicer_to_server
from zos.capacityd.host import LinuxHost
from zos.capacityd.reporter import Reporter
from zos.capacityd.service import CapacityService
from zos.runtime.backoff import Backoff
from zos.runtime.daemon import Daemon, Runtime
from zos.runtime.loops import Wake


@dataclass(frozen=True, slots=True)
class Config:
    """Table `[capacityd]`."""

    uptime: float = 2400.0
    """Seconds between two uptime reports; the grid credits at most 41 minutes."""
    register: float = 86400.0
    """Seconds between two looks whether the chain's record is still true."""
    public: float = 60.0
    """Seconds between two looks at the public configuration on the chain."""
    geoip: tuple[str, ...] = ()
    """URLs of GeoIP services (JSON: longitude, latitude, continent, country_name, country_code, city_name), in order;
    on a public grid its own by default. The node asks nobody when there is none."""


class Capacityd(Daemon):
    """The node's inventory, its registration on the chain, and its uptime reports."""

    name = "capacityd"
    config = Config

    async def open(self, rt: Runtime) -> None:
        config: Config = rt.config
        registered, geoip = Wake(), config.geoip or rt.node.grid.geoip
        reporter = Reporter(rt.host(LinuxHost), rt.bus, rt.node.farm_id, registered, geoip, rt.clock)
        rt.serve(CapacityService(reporter), add_CapacitydServicer_to_server)
        if rt.node.farm_id and rt.node.chain:
            patience = Backoff(first=0.2, cap=30.0)
            rt.loop("register", reporter.register, every=config.register, backoff=patience)
            rt.loop("public", reporter.apply_public_config, every=config.public, backoff=patience)
            rt.loop("uptime", reporter.report_uptime, every=config.uptime, wake=registered)
