"""The routes about files."""

from gateway.data import accounts, catalogue, checking, meta, moving, removing, requests, storage

ROUTERS = (
    accounts.router,
    catalogue.router,
    checking.router,
    meta.router,
    moving.router,
    removing.router,
    requests.router,
    storage.router,
)
