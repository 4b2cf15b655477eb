"""What the benchmark ran on, without the name of the host."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

import psycopg
import redis

PACKAGES = (
    "Django",
    "channels",
    "daphne",
    "channels-redis",
    "redis",
    "twisted",
    "uvloop",
    "msgpack",
    "psycopg",
)
GIB = 1024**3


def machine() -> dict[str, str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": _processor(),
        "cores": f"{len(os.sched_getaffinity(0))} cores",
        "memory": f"{memory / GIB:.0f} GiB of memory",
        "kernel": f"{platform.system()} {platform.release()}",
    }


def versions(database_url: str, redis_url: str) -> dict[str, str]:
    with psycopg.connect(database_url) as database, redis.Redis.from_url(redis_url) as valkey:
        number = database.info.server_version
        server = valkey.info("server")
        found = {
            "Python": platform.python_version(),
            "PostgreSQL": f"{number // 10000}.{number % 10000}",
            "Valkey": str(server.get("valkey_version", server["redis_version"])),
        }
    return found | {package: version(package) for package in PACKAGES}


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
