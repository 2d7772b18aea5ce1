"""The whole system on one screen."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

from domain.attempt import Attempt
from domain.bulk_action import BulkAction
from domain.configuration import Installation
from domain.housekeeping import Purge
from domain.inputs import InputSweep
from domain.job import Job
from domain.keyring import Keyring
from domain.pilot import Pilot
from domain.resource import Resource
from domain.session import Session
from domain.stored_sandbox import StoredSandbox
from domain.submission import MakeSubmission
from domain.suspension import Suspension
from gateway.app import ROUTERS
from handlers import (
    black_holes,
    bulk_actions,
    deadlines,
    input_sites,
    lost_pilots,
    rescheduling,
    resource_terms,
    sandbox_lifetimes,
    scheduling,
    suspending,
    usable_sites,
)
from handlers.data import requests
from infra import purging, submitting
from infra.consumers import follow_view, policy_of
from infra.data.app import DATA
from infra.epoch import Sentinel
from infra.front import Front
from infra.match_guard import Guard
from infra.matcher import Matcher
from infra.relay import Relay
from infra.runtime import Runtime
from infra.seal import Sealer, signing_key
from infra.system import System
from infra.timers import Timers
from infra.transformations.app import TRANSFORMATIONS
from infra.witness import Witness
from projections import (
    activity,
    assignments,
    job_inputs,
    jobs,
    pilot_queue,
    pilots,
    resource_status,
    sandboxes,
    sessions,
    suspects,
    suspensions,
)
from projections import bulk_actions as bulk

JOBS = System(
    aggregates=(
        *(Job, BulkAction, StoredSandbox, Pilot, Installation, Suspension, Keyring, Session, Attempt, Resource),
        InputSweep,
    ),
    policies=(
        scheduling.policy,
        deadlines.jobs,
        deadlines.pilots,
        lost_pilots.policy,
        rescheduling.policy | input_sites.rescheduled | requests.jobs,
        bulk_actions.policy,
        sandbox_lifetimes.policy,
        sandbox_lifetimes.jobs,
        suspending.policy,
        suspending.jobs,
        resource_terms.policy,
        black_holes.policy,
        usable_sites.policy | input_sites.resources | requests.resources,
        input_sites.policy,
        input_sites.configured,
    ),
    checks=(usable_sites.usable_sites, input_sites.near_inputs),
    projections=(
        jobs.projection,
        job_inputs.projection,
        pilot_queue.queues,
        pilot_queue.waiting,
        assignments.projection,
        pilots.projection,
        sessions.projection,
        activity.projection,
        bulk.projection,
        sandboxes.projection,
        sandboxes.used,
        suspensions.projection,
        resource_status.projection,
        suspects.projection,
    ),
    routers=ROUTERS,
    lookups={
        "unusable_sites": resource_status.unusable_sites,
        "held_for_site": resource_status.held_for_site,
        "inputs_of_submitted": job_inputs.inputs_of_submitted,
        "inputs_of_job": job_inputs.inputs_of_job,
        "inputs_swept": job_inputs.inputs_swept,
        "awaited_files": job_inputs.awaited_files,
        "vos_with_inputs": job_inputs.vos_with_inputs,
        "failed_at": suspects.failed_at,
        "suspected_at": suspects.suspected_at,
        "jobs_of_pilot": assignments.held_by_pilot,
        "uses_of_sandbox": sandboxes.uses_of,
        "sandboxes_freed": sandboxes.freed_by,
        "jobs_of_suspended": suspensions.next_jobs,
        "suspensions_of_job": suspensions.of_job,
        "sessions_of_suspended": suspensions.sessions_of,
    },
    services={MakeSubmission: submitting.service, Purge: purging.service},
    at_hand=frozenset({"storages", "times"}),
)
CORE = JOBS | DATA | TRANSFORMATIONS


async def consume(runtime: Runtime, names: Iterable[str] = ()) -> None:
    """Run policies, all or those named."""
    wanted = set(names)
    for policy in runtime.system.reacting:
        if not wanted or policy.name in wanted:
            await runtime.bus.subscribe(policy.name, policy.log, runtime.partitions, policy_of(runtime, policy))


async def project(runtime: Runtime, names: Iterable[str] = ()) -> None:
    """Keep views, all or those named, of those that are not written with the append."""
    wanted = set(names)
    for view in runtime.system.projections:
        if not view.inline and (not wanted or view.name in wanted):
            follower = follow_view(view, runtime.decider, runtime.partitions)
            await runtime.bus.subscribe(view.name, view.log, runtime.partitions, follower)


async def dispatch(runtime: Runtime) -> None:
    """Decide the commands that the bus brings."""
    services = {command.TOPIC: make(runtime) for command, make in runtime.system.services.items()}
    await runtime.bus.serve(Front(runtime.dispatcher(), services))


def relay(runtime: Runtime) -> list[Coroutine[Any, Any, None]]:
    """Publish every log, and seal it."""
    logs = runtime.system.logs
    sealer = Sealer(runtime.store, logs, signing_key(runtime.settings))
    relays = [Relay(runtime.store, runtime.bus, runtime.wakes, log, runtime.partitions) for log in logs]
    return [*(relay.run() for relay in relays), sealer.run(), sentinel(runtime).run()]


def sentinel(runtime: Runtime) -> Sentinel:
    """Notice a database that came back in an earlier state."""
    witness = Witness(runtime.settings.data, runtime.settings.bus)
    return Sentinel(runtime.pool, runtime.wakes, runtime.system, witness)


def timers(runtime: Runtime) -> Coroutine[Any, Any, None]:
    """Fire what is due."""
    return Timers(runtime.store, runtime.bus, runtime.wakes, [purging.TIMER]).run()


def match(runtime: Runtime) -> Coroutine[Any, Any, None]:
    """Give jobs to pilots."""
    guard = Guard(runtime.resources, runtime.suspensions)
    return Matcher(runtime.decider, runtime.bus, runtime.wakes, runtime.partitions, guard, runtime.configuration).run()


async def everything(runtime: Runtime) -> list[asyncio.Task[None]]:
    """All parts but the gateway, as tasks of this process."""
    await dispatch(runtime)
    await consume(runtime)
    await project(runtime)
    parts = [*relay(runtime), timers(runtime), match(runtime), runtime.wakes.listen(), runtime.liveness.run()]
    parts += [runtime.suspensions.run(), runtime.proofs.run(), runtime.configuration.run(), runtime.resources.run()]
    return [asyncio.create_task(part) for part in parts]
