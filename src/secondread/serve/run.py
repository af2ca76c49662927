"""The web application in one command: migrate, register the bundles, then web server and read workers side by side.

Reads the bundles it is given and the data folder; writes only the data folder (and the database of DATABASE_URL).
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from secondread.core.errors import Absent, WrongRequest
from secondread.core.processors import cores

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def serve(
    bundles: list[Path],
    host: str = "127.0.0.1",
    port: int = 8000,
    data_folder: Path | None = None,
    workers: int | None = None,
    web_processes: int = 2,
) -> None:
    """Serve until interrupted. `workers` read; one per core when not given.

    Raises `WrongRequest` for bundles that cannot be read with, settings that make no sense and ports that are taken.
    """
    _settle(host, data_folder)
    _check_port(host, port)
    _prepare(bundles)
    from secondread.serve.processes import Site

    count = workers or cores()
    site = Site(host, port, count, web_processes)
    site.start()
    print(f"secondread: http://{_shown(host)}:{port}/ with {count} workers; Ctrl-C stops it", flush=True)
    if host not in LOOPBACK and os.environ.get("SECONDREAD_HTTPS", "").lower() not in ("1", "true"):
        print("secondread: passwords travel unprotected; put TLS in front and set SECONDREAD_HTTPS", file=sys.stderr)
    site.watch()


def _settle(host: str, data_folder: Path | None) -> None:
    """What the command line says becomes environment, which all processes of the site share."""
    if data_folder is not None:
        os.environ["SECONDREAD_FOLDER"] = str(Path(data_folder).absolute())
    if "SECONDREAD_HOSTS" not in os.environ:
        known = "*" if host in ("0.0.0.0", "::") else f"localhost,127.0.0.1,[::1],{_shown(host)}"
        os.environ["SECONDREAD_HOSTS"] = known
    os.environ["DJANGO_SETTINGS_MODULE"] = "secondread.serve.settings"


def _shown(host: str) -> str:
    """As it stands in an address."""
    return f"[{host}]" if ":" in host else host


def _check_port(host: str, port: int) -> None:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((host, port))
    except (OSError, OverflowError) as error:
        told = getattr(error, "strerror", None) or error
        raise WrongRequest(f"cannot listen on {host}:{port}: {told}; choose another with --port") from error


def _prepare(bundles: list[Path]) -> None:
    """Bring the database up to date and enter the bundles. Raises `Absent` for a database that cannot be used."""
    import django
    from django.core.exceptions import ImproperlyConfigured
    from django.db import DatabaseError

    try:
        django.setup()
    except ImproperlyConfigured as error:
        if isinstance(error.__cause__, ImportError):
            extras = "pip install 'secondread[mysql]' or 'secondread[postgres]'"
            raise Absent(f"the driver for the database of DATABASE_URL is not installed: {extras}") from error
        raise WrongRequest(f"settings: {error}") from error
    except OSError as error:
        raise WrongRequest(f"the data folder cannot be used: {error}") from error
    try:
        from secondread.serve.preparing import prepared

        for row in prepared(bundles):
            if not row.active:
                print(f"secondread: {row.name} is not offered: an operator withdrew it", file=sys.stderr)
    except DatabaseError as error:
        raise Absent(f"the database cannot be used: {' '.join(str(error).split())[:200]}") from error
    finally:
        from django.db import connections

        connections.close_all()
