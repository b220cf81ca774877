"""The address of a MariaDB as its drivers want it, who know no addresses in one piece. Knows nothing else."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit


def address() -> dict[str, Any]:
    """Take mysql://user@host:port/name apart, into what PyMySQL and aiomysql call its parts."""
    url = urlsplit(os.environ["GATEBENCH_MARIADB_URL"])
    return {
        "host": url.hostname,
        "port": url.port or 3306,
        "user": url.username,
        "password": url.password or "",
        "db": url.path.removeprefix("/"),
    }
