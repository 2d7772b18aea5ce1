"""One case for each route that people may use: how it is asked for what belongs to one VO, and what it shows there.

A case is (parameters or body, sign). The sign is a word of the first VO that its own manager is shown and that nobody
of another VO may be; "" where there is nothing of a VO to show (or the route only acts). Texts in braces are filled in.
A route without a case fails the walk: whoever adds one says here what it gives away.
"""

from typing import Any

NAME, INSIDE = "quokka", "wombat"  # how things of the first VO are called; what only who may look into them reads
ONE, ACT = {"jobs": ["{job}"], "reason": "stolen"}, {"reason": "stolen"}
FILE, PATH = {"lfns": ["{lfn}"]}, {"path": "{directory}"}
DIGEST = "0" * 64
SANDBOX = {"checksum": DIGEST, "size": 1, "format": "tar.bz2"}
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "GET /api/auth/userinfo": ({}, "lhcb_boss"),
    "GET /api/auth/refresh-tokens": ({}, "lhcb:sub-ann"),
    "GET /api/auth/sessions": ({}, ""),
    "GET /api/v1/whoami": ({}, ""),
    "GET /api/v1/config": ({}, INSIDE),
    "GET /api/v1/config/schema": ({}, ""),
    "GET /api/v1/config/health": ({}, ""),
    "GET /api/v1/config/history": ({}, "registry/lhcb"),
    "GET /api/v1/config/diff": ({"old": 1}, INSIDE),
    "GET /api/config/": ({}, NAME),
    "GET /api/v1/jobs": ({}, NAME),
    "GET /api/v1/jobs/schema": ({}, ""),
    "GET /api/v1/jobs/summary": ({"by": "group"}, NAME),
    "GET /api/v1/jobs/{job}": ({}, NAME),
    "GET /api/v1/jobs/{job}/description": ({}, INSIDE),
    "GET /api/v1/jobs/{job}/history": ({}, NAME),
    "GET /api/v1/jobs/{job}/output": ({}, ""),
    "GET /api/v1/jobs/{job}/peek": ({}, ""),
    "GET /api/v1/jobs/{job}/parameters": ({}, INSIDE),
    "GET /api/v1/jobs/{job}/why": ({}, ""),
    "GET /api/v1/bulk": ({}, INSIDE),
    "GET /api/v1/bulk/{action}": ({}, INSIDE),
    "GET /api/v1/pilots": ({}, NAME),
    "GET /api/v1/pilots/{stamp}": ({}, INSIDE),
    "GET /api/v1/pilots/{stamp}/history": ({}, NAME),
    "GET /api/jobs/sandbox": ({"pfn": "{pfn}"}, "url"),
    "GET /api/v1/status": ({}, ""),
    "GET /api/v1/queues": ({}, NAME),
    "GET /api/v1/queues/{queue}/why": ({}, ""),
    "GET /api/v1/activity": ({}, "job.submitted"),
    "GET /api/v1/refusals": ({}, "job.kill"),
    "GET /api/v1/dead-letters": ({}, INSIDE),
    "GET /api/v1/events": ({"backlog": 50}, NAME),
    "GET /api/v1/suspensions": ({}, INSIDE),
    "GET /api/v1/audit": ({}, "ann logged in"),
    "GET /api/v1/sessions/{session}/history": ({}, "ann logged in"),
    "GET /api/v1/resources": ({"all": True}, NAME),
    "GET /api/v1/resources/one": ({"kind": "site", "name": "LCG.Quokka.au"}, INSIDE),
    "GET /api/v1/resources/history": ({"kind": "site", "name": "LCG.Quokka.au"}, INSIDE),
    "GET /api/rss/site": ({}, "Quokka"),
    "GET /api/rss/compute": ({}, NAME),
    "GET /api/rss/storage": ({}, "QUOKKA"),
    "GET /api/rss/fts": ({}, ""),
    "GET /api/v1/data/usage": ({}, NAME),
    "GET /api/v1/data/usage/directory": (PATH, "files"),
    "GET /api/v1/data/quotas": ({}, NAME),
    "GET /api/v1/data/list": ({"path": "/lhcb", "recursive": True}, NAME),
    "GET /api/v1/data/history": ({"path": "{lfn}"}, NAME),
    "GET /api/v1/data/checks/{check}": ({}, NAME),
    "GET /api/v1/data/findings": ({}, ""),
    "GET /api/v1/data/why": ({"path": "{lfn}"}, NAME),
    "GET /api/v1/data/fields": ({}, NAME),
    "GET /api/v1/data/meta": ({"path": "{lfn}"}, INSIDE),
    "GET /api/v1/data/elements": ({}, ""),
    "GET /api/v1/data/removals": ({}, INSIDE),
    "GET /api/v1/data/removals/{removal}": ({}, INSIDE),
    "GET /api/v1/data/requests": ({}, INSIDE),
    "GET /api/v1/data/requests/{request}": ({}, INSIDE),
    "GET /api/v1/data/requests/{request}/why": ({}, INSIDE),
    "GET /api/v1/transformations": ({}, NAME),
    "GET /api/v1/transformations/{name}": ({}, INSIDE),
    "GET /api/v1/transformations/{name}/why": ({}, ""),
    "GET /api/v1/transformations/{name}/files": ({}, INSIDE),
    "GET /api/v1/transformations/{name}/tasks": ({}, ""),
    "POST /api/v1/data/find": ({"conditions": []}, NAME),
    "POST /api/v1/data/lookup": (FILE, "size"),
    "POST /api/v1/data/downloads": (FILE, "url"),
    "POST /api/v1/jobs/plan": ({"jobs": [{"executable": "x", "sites": ["LCG.Quokka.au"]}]}, ""),
    "POST /api/v1/config/preview": ({"expected": 0, "put": {"/registry/lhcb/default_group": "x"}}, ""),
    # What acts: whoever is of another VO changes nothing of the first one.
    "DELETE /api/auth/refresh-tokens/{token}": ({}, ""),
    "DELETE /api/auth/sessions": ({}, ""),
    "POST /api/v1/config": ({"expected": 0, "put": {"/registry/lhcb/default_group": "x"}}, ""),
    "POST /api/v1/config/rollback": ({"expected": 0, "revision": 1, "section": "/registry/lhcb"}, ""),
    "POST /api/v1/jobs": ({"jobs": [{"executable": "/bin/true", "input_sandboxes": ["{pfn}"]}]}, ""),
    **{f"POST /api/v1/jobs/{verb}": (ONE, "") for verb in ("kill", "reschedule", "reset", "delete", "hold", "release")},
    "POST /api/v1/jobs/priority": ({**ONE, "priority": 3}, ""),
    **{
        f"POST /api/v1/jobs/{{job}}/{verb}": (ACT, "")
        for verb in ("kill", "reschedule", "reset", "delete", "hold", "release")
    },
    "POST /api/v1/jobs/{job}/priority": ({"priority": 3}, ""),
    "POST /api/v1/transformations": ({"name": NAME, "job": {"executable": "x"}}, ""),
    **{
        f"POST /api/v1/transformations/{{name}}/{verb}": ({}, "")
        for verb in ("start", "pause", "drain", "complete", "clean", "retry", "audit")
    },
    "POST /api/v1/transformations/{name}/extend": ({"max_tasks": 9}, ""),
    "POST /api/v1/transformations/{name}/inputs": (FILE, ""),
    "POST /api/v1/bulk": ({"verb": "kill", "where": {"name": NAME}}, ""),
    "POST /api/v1/bulk/{action}/confirm": ({}, ""),
    "POST /api/v1/bulk/{action}/undo": ({}, ""),
    "POST /api/v1/pilots": ({"stamp": "{stamp}"}, ""),
    "POST /api/v1/pilots/{stamp}/revoke": (ACT, ""),
    "POST /api/jobs/sandbox": (SANDBOX, ""),
    "POST /api/v1/dead-letters/send-again": ({"letters": ["{letter}"]}, ""),
    "POST /api/v1/suspensions": ({"kind": "vo", "name": "lhcb", "reason": "stolen"}, ""),
    "POST /api/v1/suspensions/resume": ({"kind": "group", "name": NAME}, ""),
    "POST /api/v1/resources": (
        {"resources": [{"kind": "site", "name": "LCG.Quokka.au"}], "status": "Active", "reason": "mine", "vo": "lhcb"},
        "",
    ),
    "POST /api/v1/data/quotas": ({"scope": "user", "name": NAME, "most_files": 1}, ""),
    "POST /api/v1/data/files": ({"files": [{"lfn": "{lfn}x", "size": 1, "ses": ["LOCAL-DISK"]}]}, ""),
    "POST /api/v1/data/directories": ({"paths": ["{directory}/stolen"]}, ""),
    "POST /api/v1/data/directories/protect": ({"paths": ["{directory}"], "mode": 511}, ""),
    "POST /api/v1/data/replicas/{verb}": ({"lfns": ["{lfn}"], "se": "LOCAL-DISK"}, ""),
    "POST /api/v1/data/elements/{se}/check": ({"path": "{directory}"}, ""),
    "POST /api/v1/data/fields": ({"name": NAME, "type": "int"}, ""),
    "POST /api/v1/data/describe": ({"paths": ["{lfn}"], "values": {NAME: "stolen"}}, ""),
    "POST /api/v1/data/uploads": ({"files": [{"lfn": "{lfn}", "size": 1, "sha256": DIGEST}]}, ""),
    "POST /api/v1/data/uploads/confirm": ({"files": [{"lfn": "{lfn}", "se": "LOCAL-DISK"}]}, ""),
    "POST /api/v1/data/requests": ({**FILE, "operations": [{"verb": "replicate", "se": "LOCAL-DISK"}]}, ""),
    "POST /api/v1/data/requests/{request}/cancel": ({}, ""),
    "POST /api/v1/data/removals": ({"lfns": ["{lfn}"], "reason": "stolen"}, ""),
    "POST /api/v1/data/removals/{removal}/carry-out": ({}, ""),
    "POST /api/v1/data/removals/{removal}/undo": ({}, ""),
}


def filled(given: Any, facts: dict[str, Any]) -> Any:
    """The parameters with the ids of real things; a text that is one id alone becomes that id."""
    if isinstance(given, dict):
        return {key: filled(value, facts) for key, value in given.items()}
    if isinstance(given, list):
        return [filled(value, facts) for value in given]
    if isinstance(given, str) and given[:1] == "{" and given[1:-1] in facts:
        return facts[given[1:-1]]
    return given.format_map(facts) if isinstance(given, str) else given
