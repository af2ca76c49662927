"""Uploads that are refused before they were read: the client sees the answer, and nobody else waits."""

from __future__ import annotations

import http.client
import io
import socket
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http.errors import InvalidRequestLine
from gunicorn.workers.gthread import TConn

from secondread.serve import unread, web


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection: the server's and the client's."""
    server, client = socket.socketpair()
    with server, client:
        yield server, client


def answered(body: Any, server: socket.socket, **environ: str) -> None:
    """One request to an application that never reads, up to the moment when its server closes the response."""
    application = unread.without_leftovers(lambda environ, start_response: [b"no"])
    parts = application({"wsgi.input": body, "gunicorn.socket": server, **environ}, None)
    assert list(parts) == [b"no"]
    close = getattr(parts, "close", None)
    if close is not None:
        close()


def is_cut(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False


def test_a_refused_upload_leaves_a_connection_that_can_be_used(running_site: Any) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", running_site.port, timeout=30)
    for _ in range(3):
        connection.request("POST", "/api/reads", b"x" * (4 << 20), {"Content-Type": "multipart/form-data; boundary=e"})
        kept = connection.sock
        answer = connection.getresponse()
        assert answer.status == 401
        answer.read()
        connection.request("GET", "/health/live")
        assert connection.sock is kept
        answer = connection.getresponse()
        assert answer.status == 200
        answer.read()
    connection.close()


def test_what_is_left_of_a_body_is_read(ends: tuple[socket.socket, socket.socket]) -> None:
    server, client = ends
    body = io.BytesIO(b"x" * 200_000)
    body.read(70_000)
    answered(body, server, CONTENT_LENGTH="200000")
    assert body.read() == b""
    assert not is_cut(client)
    assert server.gettimeout() is None


def test_too_much_is_cut_off(ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    server, client = ends
    monkeypatch.setattr(unread, "MOST_BYTES", 3 * unread.CHUNK)
    body = io.BytesIO(b"x" * (8 * unread.CHUNK))
    answered(body, server, CONTENT_LENGTH=str(8 * unread.CHUNK))
    assert body.tell() == 3 * unread.CHUNK
    assert is_cut(client)


def test_a_client_that_stops_sending_is_cut_off(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, client = ends
    monkeypatch.setattr(unread, "SECONDS", 0.05)
    client.sendall(b"x" * 1000)
    answered(server.makefile("rb", buffering=0), server, CONTENT_LENGTH="2000")
    assert is_cut(client)


def test_a_body_of_unknown_length_is_not_waited_for(ends: tuple[socket.socket, socket.socket]) -> None:
    server, client = ends
    body = io.BytesIO(b"x" * 1000)
    answered(body, server, HTTP_TRANSFER_ENCODING="chunked")
    assert body.tell() == 0
    assert is_cut(client)


def test_files_are_left_to_the_server(ends: tuple[socket.socket, socket.socket]) -> None:
    server, client = ends
    sent = io.BytesIO(b"a file")
    application = unread.without_leftovers(lambda environ, start_response: sent)
    assert application({"gunicorn.socket": server, "wsgi.file_wrapper": io.BytesIO}, None) is sent
    assert not is_cut(client)


@pytest.mark.parametrize(
    ("told", "cut"),
    [
        ({"SERVER_PROTOCOL": "HTTP/1.1"}, False),
        ({"SERVER_PROTOCOL": "HTTP/1.1", "HTTP_CONNECTION": "close"}, True),
        ({"SERVER_PROTOCOL": "HTTP/1.0"}, True),
        ({"SERVER_PROTOCOL": "HTTP/1.0", "HTTP_CONNECTION": "Keep-Alive"}, False),
    ],
)
def test_the_wish_of_the_client_is_kept(
    ends: tuple[socket.socket, socket.socket], told: dict[str, str], cut: bool
) -> None:
    server, client = ends
    answered(io.BytesIO(), server, **told)
    assert is_cut(client) is cut


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf"])
def test_a_client_that_falls_silent_holds_no_thread(
    said: bytes, ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    server, client = ends
    monkeypatch.setattr(web, "SILENCE", 0.05)
    config = Config()
    worker = web.Worker(0, 0, [], None, 30, config, web.Log(config))
    worker.wsgi = lambda environ, start_response: [environ["wsgi.input"].read()]
    worker.tmp.close()
    client.sendall(said)
    with ThreadPoolExecutor() as threads:
        try:
            connection = TConn(config, server, ("10.1.2.3", 1), ("127.0.0.1", 80))
            assert threads.submit(worker.handle, connection).result(5.0) is False
        finally:
            client.close()
    assert capsys.readouterr().err == ""


def test_the_log_names_no_visitor(ends: tuple[socket.socket, socket.socket], capsys: Any) -> None:
    server, client = ends
    config = Config()
    log = web.Log(config)
    worker = web.Worker(0, 0, [], None, 30, config, log)
    worker.handle_error(None, server, ("10.1.2.3", 1), InvalidRequestLine("Meier"))
    worker.tmp.close()
    log.warning("worth knowing")
    assert client.recv(20).startswith(b"HTTP/1.1 400")
    told = capsys.readouterr().err
    assert "worth knowing" in told
    assert "10.1.2.3" not in told
    assert "Meier" not in told


@pytest.mark.parametrize(
    ("said", "status"), [(b"GET /health/live HTTP/1.0\r\n\r\n", b" 200 "), (b"nonsense\r\n\r\n", b" 400 ")]
)
def test_clients_that_never_hang_up_keep_nobody_waiting(running_site: Any, said: bytes, status: bytes) -> None:
    idle = [socket.create_connection(("127.0.0.1", running_site.port), timeout=30) for _ in range(60)]
    try:
        for client in idle:
            client.sendall(said)
        with urllib.request.urlopen(f"{running_site.address}/health/live", timeout=20) as answer:
            assert answer.status == 200
        for client in idle:
            assert status in b"".join(iter(partial(client.recv, 1 << 16), b""))
    finally:
        for client in idle:
            client.close()
