"""The hub: makes flists, and serves them, their blocks and signed deployments over HTTP."""

from zos.hub.build import Built, build

__all__ = ["Built", "build"]
