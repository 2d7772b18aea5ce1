"""Every route of the authorization server."""

from gateway.auth import authorize, device, legacy, sessions, token, wellknown

AUTH = (wellknown.router, device.router, authorize.router, token.router, legacy.router, sessions.router)
