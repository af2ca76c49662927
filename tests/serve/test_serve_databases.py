"""The tests of this folder once more, against real PostgreSQL and MariaDB servers, in databases of their own."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

HERE = Path(__file__).parent
SERVERS = {
    "PostgreSQL": os.environ.get("SECONDREAD_TEST_POSTGRES", "postgres://root@127.0.0.1:5432/secondread_serve"),
    "MariaDB": os.environ.get("SECONDREAD_TEST_MARIADB", "mysql://root@127.0.0.1:3306/secondread_serve"),
}


DRIVERS = {"PostgreSQL": "psycopg", "MariaDB": "MySQLdb"}


def answers(address: str) -> bool:
    told = urlsplit(address)
    try:
        with socket.create_connection((told.hostname or "", told.port or 0), 2.0):
            return True
    except OSError:
        return False


@pytest.mark.servers
@pytest.mark.parametrize("server", sorted(SERVERS))
def test_everything_holds_on(server: str) -> None:
    address = SERVERS[server]
    if not answers(address):
        pytest.skip(f"no {server} server answers at {urlsplit(address).netloc}")
    if importlib.util.find_spec(DRIVERS[server]) is None:
        pytest.skip(f"the driver {DRIVERS[server]} of {server} is not installed (an extra)")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("SECONDREAD", "DJANGO"))}
    told = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(HERE), "-m", "not browser and not servers", "--create-db",
         "-p", "no:cacheprovider", "--ignore", str(HERE / "test_serve_site.py")],
        env=environment | {"DATABASE_URL": address, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        cwd=HERE.parents[1], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout[-3000:]
    assert " passed" in told.stdout
