"""GET /api/config/, as clients of DiracX know it: the same names, cached bytes, 304 for those who have them."""

import hashlib
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from fastapi import APIRouter, Request, Response

from domain.operations import Operations
from domain.registry import Group, VoRegistry
from domain.schema import Configuration, Vo
from domain.tree import Tree
from gateway.ports import Outside
from gateway.rights import Resident
from gateway.visible import own

router = APIRouter(prefix="/api/config", tags=["config"])
FORM = "%a, %d %b %Y %H:%M:%S GMT"
MODULES = {"download": "DIRAC.WorkloadManagementSystem.Client.DownloadInputData",
           "protocol": "DIRAC.WorkloadManagementSystem.Client.InputDataByProtocol"}  # fmt: skip
FREE = ("Cloud", "DataConsistency", "GaudiExecution", "Hospital", "JobTypeMapping", "LogFiles", "LogStorage", "Logging",
        "Matching", "MonitoringBackends", "NagiosConnector", "Productions", "Shares", "SiteSEMappingByProtocol",
        "TransformationPlugins")  # fmt: skip


class Rendered(NamedTuple):
    """The answer for one VO, made once for each configuration."""

    body: bytes
    etag: str
    modified: datetime
    headers: dict[str, str]


@router.get("/", operation_id="config_serve_config")
async def serve_config(who: Resident, outside: Outside, request: Request) -> Response:
    """The configuration of the asker's VO, in the form of DiracX."""
    found = rendered(outside.configuration(), who.vo)
    if unchanged(request, found.etag, found.modified):
        return Response(status_code=304, headers=found.headers)
    return Response(found.body, media_type="application/json", headers=found.headers)


def unchanged(request: Request, etag: str, modified: datetime) -> bool:
    """Whether the client has this version, quoted or not, or says that it has seen a newer one."""
    given = request.headers.get("if-none-match", "")
    if given and etag in (given, given.removeprefix("W/").strip('"')):
        return True
    since = request.headers.get("if-modified-since", "")
    try:
        return bool(since) and datetime.strptime(since, FORM).replace(tzinfo=UTC) > modified
    except ValueError:
        return False


def rendered(found: Configuration, vo: str) -> Rendered:
    """The bytes for a VO; raises Refused(VO_UNKNOWN) or Refused(VO_BROKEN)."""
    key = ("contract", vo)
    kept: Rendered | None = found.memo.get(key)
    if kept is None:
        body = msgspec.json.encode(contract(own(found, vo)), enc_hook=str)
        etag, modified = hashlib.sha256(body).hexdigest()[:40], found.at.replace(microsecond=0)
        headers = {"ETag": etag, "Last-Modified": modified.strftime(FORM), "Cache-Control": "private, no-cache"}
        kept = found.memo[key] = Rendered(body, etag, modified, headers)
    return kept


def contract(vo: Vo) -> Tree:
    """One VO's configuration with the contract's names, every default filled in."""
    computing = {"OSCompatibility": {name: sorted(all_) for name, all_ in sorted(vo.resources.platforms.items())}}
    nothing = dict.fromkeys(("LocalSite", "LogLevel", "MCTestingDestination", "Systems", "WebApp"))
    return {
        "DIRAC": {"NoSetup": False},
        "Registry": {vo.name: _registry(vo.registry)},
        "Operations": {vo.name: _operations(vo.operations)},
        "Resources": {"Computing": computing},
        **nothing,
    }


def _registry(vo: VoRegistry) -> Tree:
    idp = vo.idp
    return {
        "IdP": {"URL": idp.issuer if idp else "", "ClientID": idp.client_id if idp else ""},
        "Support": {"Email": vo.support.email, "Webpage": vo.support.webpage, "Message": vo.support.message},
        "DefaultGroup": vo.default_group,
        "DefaultStorageQuota": vo.default_storage_quota,
        "DefaultProxyLifeTime": vo.default_proxy_lifetime,
        "VOMSName": vo.voms_name,
        "Users": {
            sub: {
                "PreferedUsername": user.preferred_username, "DNs": list(user.dns), "Email": user.email,
                "Suspended": [vo.default_group] if user.suspended else [], "Quota": user.quota,
            }
            for sub, user in vo.users.items()
        },
        "Groups": {name: _group(group, vo.members.get(name, ())) for name, group in vo.groups.items()},
    }  # fmt: skip


def _group(group: Group, members: tuple[str, ...]) -> Tree:
    return {
        "JobShare": round(group.job_share), "Properties": list(group.properties), "Quota": group.quota,
        "Users": list(members), "AutoAddVOMS": group.auto_add_voms, "VOMSRole": group.voms_role,
        "AllowBackgroundTQs": group.allow_background_tqs, "AutoUploadPilotProxy": group.auto_upload_pilot_proxy,
        "AutoUploadProxy": group.auto_upload_proxy, "AutoSyncVOMS": group.auto_sync_voms,
    }  # fmt: skip


def _operations(how: Operations) -> Tree:
    jobs, policy, scheduling = how.job_description, how.input_data_policy, how.job_scheduling
    free = {name: how.extra.get(name) for name in FREE}
    shifters = {role: {"User": one.user, "Group": one.group} for role, one in how.shifters.items()}
    return {
        "EnableSecurityLogging": False,
        "InputDataPolicy": {
            "Default": MODULES[policy.default], **{site: MODULES[way] for site, way in policy.sites.items()},
            "Download": MODULES["download"], "Protocol": MODULES["protocol"], "AllReplicas": policy.all_replicas,
            "Protocols": {"Remote": list(policy.protocols_remote), "Local": list(policy.protocols_local)},
            "InputDataModule": "DIRAC.Core.Utilities.InputDataResolution",
        },
        "JobDescription": _job_description(jobs),
        "Services": {
            "Catalogs": list(how.services.catalogs) or None,
            "JobMonitoring": {"GlobalJobsInfo": how.services.global_jobs_info},
            "JobScheduling": {"EnableSharesCorrection": scheduling.enable_shares_correction,
                              "MaxRescheduling": scheduling.max_rescheduling},
        },
        "SoftwareDistModule": "LocalSoftwareDist",
        **free,
        "DataManagement": how.data_management.model_dump(mode="json"),
        "EMail": {"Production": list(how.notification.production), "Alarms": list(how.notification.alarms)},
        "JobScheduling": {"MaxRescheduling": scheduling.max_rescheduling},
        "Pilot": how.pilots.model_dump(mode="json"),
        "Shifter": shifters or None,
        "Transformations": how.transformations or None,
        "ResourceStatus": how.resource_status or None,
    }  # fmt: skip


def _job_description(jobs: Any) -> Tree:
    return {
        "DefaultCPUTime": jobs.default_cpu_time, "DefaultPriority": jobs.default_priority,
        "MinCPUTime": jobs.min_cpu_time, "MinPriority": jobs.min_priority, "MaxCPUTime": jobs.max_cpu_time,
        "MaxPriority": jobs.max_priority, "MaxInputData": jobs.max_input_data,
        "AllowedJobTypes": list(jobs.job_types),
    }  # fmt: skip
