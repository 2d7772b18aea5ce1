"""What the data part adds to the system."""

from domain.data.consistency import Check
from domain.data.directory import Directory
from domain.data.field import Field
from domain.data.file import File
from domain.data.quota import Quota
from domain.data.removal import Removal
from gateway.data.routers import ROUTERS
from handlers.data import deadlines
from infra.data.bulks import SERVICES
from infra.system import System
from projections.data.views import VIEWS

DATA = System(
    aggregates=(File, Directory, Quota, Field, Removal, Check),
    policies=(deadlines.policy,),
    projections=VIEWS,
    routers=ROUTERS,
    services=SERVICES,
)
