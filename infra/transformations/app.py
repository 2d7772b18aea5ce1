"""What the transformations add to the system."""

from domain.transformations.inputs import AddInputs, FillInputs, Inputs
from domain.transformations.task import AuditTransformation, CancelTasks, PackInputs, RetryTasks, Task
from domain.transformations.transformation import Transformation
from gateway.transformations.routers import ROUTERS
from handlers.transformations import ends, feeding, going_on
from infra.system import System
from infra.transformations import attaching, auditing, ending, packing
from infra.transformations import ends as at_ends
from infra.transformations import feeding as at_feeding
from infra.transformations import going_on as at_going_on
from projections.transformations.views import VIEWS

TRANSFORMATIONS = System(
    aggregates=(Transformation, Task, Inputs),
    policies=(feeding.policy, going_on.policy, ends.policy),
    projections=VIEWS,
    routers=ROUTERS,
    services={
        AddInputs: attaching.adding,
        FillInputs: attaching.filling,
        PackInputs: packing.packing,
        CancelTasks: ending.cancelling,
        RetryTasks: ending.retrying,
        AuditTransformation: auditing.auditing,
    },
    batches={
        feeding.policy.name: at_feeding.feeding,
        going_on.policy.name: at_going_on.going_on,
        ends.policy.name: at_ends.ends,
    },
)
