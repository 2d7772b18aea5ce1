"""The running system for those who ask for it."""

from gateway_site import site

__all__ = ["site"]
