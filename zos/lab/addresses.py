"""The addresses of a lab and the URLs of its services. Pure.

Every lab has a network of its own, which the machine reaches too. The default lab's never changes: documents and
examples name it. Labs that have another name take the others, by number.
"""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = 24
DEFAULT_NUMBER = 0
LIMIT_OF_NUMBERS = 255
PUBLIC_NET = "192.0.1.0/24"
"""Where nodes get public addresses: clients take the ranges for documentation for private ones and refuse them, and
this one is announced by nobody. It is the same in every lab, and the machine reaches only the default lab's."""
RESOLVERS = ("8.8.8.8", "1.1.1.1")
"""The name servers of every machine, which the Internet of a lab has too."""
DOMAIN = "lab"
"""What the boxes' names end in, for machines."""
CHAIN_PORT = 9944
HUB_PORT = 8080
WEB_PORT = 80
FORWARD_PORT = 3128
TLS_PORT = 443


@dataclass(frozen=True, slots=True)
class Addresses:
    """What one lab's boxes are called on the network."""

    number: int = DEFAULT_NUMBER

    @property
    def _base(self) -> str:
        # 198.51.100.0/24 is for documentation, 198.18.0.0/15 for tests of networks: nobody announces them.
        return "198.51.100" if self.number == DEFAULT_NUMBER else f"198.18.{self.number}"

    def address(self, last: int) -> str:
        """The address with this last byte."""
        return f"{self._base}.{last}"

    @property
    def net(self) -> str:
        """All of them, as a prefix."""
        return f"{self.address(0)}/{PREFIX}"

    @property
    def host_link(self) -> str:
        """The machine's own interface in the lab's network."""
        return f"zoslab{self.number}"

    @property
    def host(self) -> str:
        """The machine's own address, so that its user reaches chain and hub."""
        return self.address(1)

    @property
    def gateway(self) -> str:
        """The Internet's bridge: everybody's default gateway, with nothing behind it."""
        return self.address(254)

    @property
    def chain_url(self) -> str:
        return f"ws://{self.address(10)}:{CHAIN_PORT}"

    @property
    def activation_url(self) -> str:
        return f"http://{self.address(10)}:{CHAIN_PORT}/activation/activate"

    @property
    def hub_url(self) -> str:
        return f"http://{self.address(11)}:{HUB_PORT}"

    @property
    def relay_domain(self) -> str:
        """What twins write on the chain: the chain refuses a port, so clients reach the relay on the web's ports."""
        return self.address(12)

    @property
    def relay_url(self) -> str:
        return f"ws://{self.relay_domain}"

    @property
    def proxy_url(self) -> str:
        return f"http://{self.address(13)}"

    @property
    def forward_url(self) -> str:
        """A forward proxy for clients whose KYC address is built in: it brings them to the lab's own."""
        return f"http://{self.address(13)}:{FORWARD_PORT}"

    @property
    def chain_tls_url(self) -> str:
        return f"wss://{self.address(10)}"

    @property
    def relay_tls_url(self) -> str:
        return f"wss://{self.relay_domain}"

    @property
    def proxy_tls_url(self) -> str:
        return f"https://{self.address(13)}"
