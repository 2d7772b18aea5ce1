"""What the data part adds to the system."""

from domain.data.consistency import Check
from domain.data.directory import Directory
from domain.data.field import Field
from domain.data.file import File
from domain.data.quota import Quota
from domain.data.removal import Removal
from domain.data.request import Request
from gateway.data.routers import ROUTERS
from handlers.data import deadlines, requests
from infra.data.bulks import SERVICES
from infra.system import System
from projections.data import requests as views
from projections.data.views import VIEWS

DATA = System(
    aggregates=(File, Directory, Quota, Field, Removal, Check, Request),
    policies=(deadlines.policy | requests.policy,),
    projections=VIEWS,
    routers=ROUTERS,
    services=SERVICES,
    lookups={
        "requests_of_job": views.requests_of_job,
        "requests_waiting_for": views.requests_waiting_for,
    },
)
