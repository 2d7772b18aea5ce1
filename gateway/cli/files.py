"""The commands on files, put together."""

from gateway.cli import checking, data, meta, moving, removing, requests

FILES = (data.add, moving.add, meta.add, removing.add, checking.add, requests.add)
