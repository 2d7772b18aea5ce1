"""The views of data, in the order in which those of one transaction are written."""

from projections.data import (
    checks,
    directories,
    directory_usage,
    fields,
    files,
    findings,
    quotas,
    removals,
    replicas,
    requests,
    usage,
    values,
)

VIEWS = (
    directories.projection,
    files.projection,
    replicas.projection,
    usage.projection,
    quotas.projection,
    fields.projection,
    values.projection,
    removals.projection,
    checks.projection,
    findings.projection,
    directory_usage.projection,
    requests.projection,
)
