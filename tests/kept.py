"""What the tests of the laptop's PostgreSQL share: a row that must still be there, and another process as its owner."""

import asyncio
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg

from infra.postgres_cluster import server_processes
from infra.postgres_host import tag

OWNER = "import asyncio, sys, pathlib\n" \
    "from infra.postgres import Embedded\n" \
    "async def main():\n" \
    "    print(await Embedded(pathlib.Path(sys.argv[1])).start(), flush=True)\n" \
    "    await asyncio.sleep(600)\n" \
    "asyncio.run(main())\n"  # fmt: skip


async def remember(url: str, number: int) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(f"CREATE TABLE kept AS SELECT {number} AS number")
    await connection.close()


async def remembered(url: str) -> int:
    connection = await asyncpg.connect(url)
    number = await connection.fetchval("SELECT number FROM kept")
    await connection.close()
    return int(number)


async def gone(home: Path) -> None:
    async with asyncio.timeout(60):
        while server_processes(tag(home).encode()):
            await asyncio.sleep(0.05)


async def setting(url: str, name: str) -> str:
    connection = await asyncpg.connect(url)
    value = await connection.fetchval("SELECT current_setting($1)", name)
    await connection.close()
    return str(value)


def socket_directory(url: str) -> Path:
    return Path(parse_qs(urlsplit(url).query)["host"][0])
