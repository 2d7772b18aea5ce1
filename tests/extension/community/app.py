"""A community's own system: the core, and calibrations."""

from community import calibrations, checking, measuring, routes
from community.calibration import Calibration

from infra.app import CORE
from infra.system import System

system = CORE | System(
    aggregates=(Calibration,),
    policies=(measuring.jobs, measuring.calibrations),
    checks=(checking.names_its_run,),
    projections=(calibrations.projection,),
    routers=(routes.router,),
    lookups={"calibrations_of_job": calibrations.of_job, "job_of_calibration": calibrations.its_job},
)
