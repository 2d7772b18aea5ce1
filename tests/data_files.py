"""Files on the storage of a running system."""

import hashlib

from gateway_site import VO
from httpx import AsyncClient

ROUTE = "/api/v1/data"
DISK = "LOCAL-DISK"
NAMES = {f"/{VO}/user/a/{n}" for n in range(3)}


async def put(client: AsyncClient, *names: str) -> None:
    """Files with their own name as content."""
    described = [
        {"lfn": name, "size": len(name), "sha256": hashlib.sha256(name.encode()).hexdigest()} for name in names
    ]
    places = (await client.post(f"{ROUTE}/uploads", json={"files": described})).json()["results"]
    async with AsyncClient() as anybody:
        for place in places:
            content = {"file": ("file", place["lfn"].encode())}
            assert (await anybody.post(place["url"], data=place["fields"], files=content)).is_success
    written = [{"lfn": place["lfn"], "se": place["se"]} for place in places]
    confirmed = (await client.post(f"{ROUTE}/uploads/confirm", json={"files": written})).json()["results"]
    assert not [each for each in confirmed if "error" in each]
