"""The routes about transformations."""

from gateway.transformations import acts, contents, transformations

ROUTERS = (transformations.router, acts.router, contents.router)
