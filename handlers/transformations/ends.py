"""A job that ends is counted for its task: done, tried again, split or kept aside with the reason."""

from domain.job import Job
from handlers.policy import BatchPolicy

ENDS = (Job.Done, Job.Failed, Job.Killed, Job.Settled, Job.Deleted)
policy = BatchPolicy("transformation_ends", "jobs", ENDS, __name__)
