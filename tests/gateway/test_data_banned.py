"""A storage element that is banned for writing takes nothing, gives what it has, and says why."""

from data_files import DISK, NAMES, ROUTE, put
from gateway_site import Site


async def test_a_storage_element_banned_for_writing_refuses_with_its_reason(site: Site) -> None:
    ann, boss = await site.user("ann"), await site.user("boss", "Operator")
    first, second, _ = sorted(NAMES)
    await put(ann, first)
    which = [{"kind": "se", "name": DISK}]
    banned = {"resources": which, "status": "Banned", "reason": "the disk is full", "access": ["write"]}
    answer = await boss.post("/api/v1/resources", json=banned)
    assert answer.status_code == 200, answer.text
    await site.work.runtime.resources.read()
    described = {"lfn": second, "size": 1, "sha256": "0" * 64, "ses": [DISK]}
    (result,) = (await ann.post(f"{ROUTE}/uploads", json={"files": [described]})).json()["results"]
    assert result["error"]["code"] == "se-refuses"
    assert "the disk is full" in result["error"]["detail"]
    (source,) = (await ann.post(f"{ROUTE}/downloads", json={"lfns": [first]})).json()["results"]
    assert source["urls"]
