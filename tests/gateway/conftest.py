"""The running system for those who ask for it."""

from gateway_site import site
from login_site import gateway_port, glewlwyd, login_site, login_system, node_provider

__all__ = ["gateway_port", "glewlwyd", "login_site", "login_system", "node_provider", "site"]
