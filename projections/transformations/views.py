"""The views of transformations, in the order in which those of one transaction are written."""

from projections.transformations import tasks, transformations

VIEWS = (transformations.projection, tasks.projection)
