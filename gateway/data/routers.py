"""The routes about files."""

from gateway.data import accounts, catalogue, checking, meta, moving, removing, storage

ROUTERS = (
    accounts.router,
    catalogue.router,
    checking.router,
    meta.router,
    moving.router,
    removing.router,
    storage.router,
)
