"""The node agent of a decentralised cloud."""

__version__ = "0.1.0"
