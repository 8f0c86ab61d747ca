"""Where the node's 0-dbs are reached: asked of networkd and mycelium."""

from __future__ import annotations

from zos.bus.client import Bus
from zos.errors import ZosError
from zos.mycelium.api import MyceliumClient
from zos.networkd.api import NetworkdClient
from zos.runtime.clock import Clock
from zos.zdbd.api.errors import NoAddress


class NodeAddresses:
    """The node's public, planetary and Mycelium address, in the order in which results have them."""

    def __init__(self, bus: Bus, clock: Clock, patience: float) -> None:
        self._networkd = NetworkdClient(bus)
        self._mycelium = MyceliumClient(bus)
        self._clock = clock
        self._until = clock.monotonic() + patience
        self.last: tuple[str, ...] = ()
        """As they were last."""

    async def known(self) -> tuple[str, ...]:
        """Those that the node has now. While a daemon does not answer, what it said last; raises before that."""
        try:
            self.last = tuple((await self._ask()).values())
        except ZosError:
            if not self.last:
                raise
        if not self.last:
            raise NoAddress(missing="planetary or mycelium")
        return self.last

    async def all(self) -> tuple[str, ...]:
        """The same, for a result: it is not given before both overlays have one, or the time for that is over."""
        found = await self._ask()
        missing = [name for name in ("planetary", "mycelium") if name not in found]
        if missing and (self._clock.monotonic() < self._until or not found):
            raise NoAddress(missing=" and ".join(missing))
        return tuple(found.values())

    async def _ask(self) -> dict[str, str]:
        public, planetary = await self._networkd.public_config(), await self._networkd.planetary()
        found = {
            "public": public.ip6.partition("/")[0],
            "planetary": planetary.address if planetary.offered else "",
            "mycelium": (await self._mycelium.overlay()).address,
        }
        return {name: address for name, address in found.items() if address}
