"""Connections that stay open: against real sockets, which close, break off and keep silent."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import pytest
from botocore.exceptions import (
    ConnectionClosedError,
    EndpointConnectionError,
    ReadTimeoutError,
    SSLError,
)
from botocore.httpsession import get_cert_path
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from remotejob.backends.aws.direct.connections import MOST_IDLE, Connections, Request
from remotejob.backends.aws.direct.http_response import Answer

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
LAST = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}"
SILENCE = b""


class Peer:
    """Answers each request with the next given answer, and closes where a test says so."""

    def __init__(self, *answers: bytes, context: ssl.SSLContext | None = None) -> None:
        self.connections = 0
        self.bodies: list[bytes] = []
        self.heads: list[bytes] = []
        self.closed = threading.Event()
        self._closing = threading.Event()
        self._answers = list(answers)
        self._context = context
        self._listening = socket.create_server(("127.0.0.1", 0))
        scheme = "https" if context else "http"
        self.url = f"{scheme}://127.0.0.1:{self._listening.getsockname()[1]}/"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        # a thread in accept is not woken by a close
        socket.create_connection(self._listening.getsockname()).close()
        self._thread.join()
        self._listening.close()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listening.accept()
            if self._closing.is_set():
                connection.close()
                return
            self.connections += 1
            try:
                if self._context is not None:
                    connection = self._context.wrap_socket(connection, server_side=True)
            except OSError:
                connection.close()
                continue
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        # a client may hang up at any time
        with suppress(OSError), connection, connection.makefile("rb") as lines:
            while head := _until_blank(lines):
                # without one there is no body
                length = sum(int(x[15:]) for x in head if x.lower().startswith(b"content-length:"))
                self.heads.append(b"".join(head))
                self.bodies.append(lines.read(length))
                answer = self._answers.pop(0)
                if answer is SILENCE:
                    lines.read(1)
                    return
                connection.sendall(answer.removesuffix(b"!"))
                if answer.endswith(b"!") or answer in (LAST, HALF):
                    connection.shutdown(socket.SHUT_RDWR)
                    self.closed.set()
                    return


def _until_blank(lines: BinaryIO) -> list[bytes]:
    """The lines of a head; none, when there is no other."""
    head = []
    # at its end a stream gives empty lines for ever
    while (line := lines.readline()) not in (b"\r\n", b""):
        head.append(line)
    return head


@contextmanager
def peer(*answers: bytes, context: ssl.SSLContext | None = None) -> Iterator[Peer]:
    made = Peer(*answers, context=context)
    try:
        yield made
    finally:
        made.close()


class Posting:
    """The connections of one who waits so long for each answer."""

    def __init__(self, connections: Connections, read_s: float) -> None:
        self._connections = connections
        self._read_s = read_s

    def post(self, headers: dict[str, str], body: bytes) -> Answer:
        return self._connections.ask(Request("POST", "/", headers, body), read_s=self._read_s)


def connections(url: str, *, read: float = 20, ca_bundle: str = "") -> Posting:
    return Posting(Connections(url, connect_s=5, ca_bundle=ca_bundle), read)


def test_one_connection_carries_requests_one_after_the_other() -> None:
    with peer(GOOD, GOOD, GOOD) as aws:
        pool = connections(aws.url)
        answers = [pool.post({"X-Number": str(n)}, b"body %d" % n) for n in range(3)]

    assert [(one.status_code, one.content) for one in answers] == [(200, b"{}")] * 3
    assert aws.connections == 1
    assert aws.bodies == [b"body 0", b"body 1", b"body 2"]
    assert [b"X-Number: %d\r\n" % n in head for n, head in enumerate(aws.heads)] == [True] * 3


def test_requests_at_a_time_have_a_connection_each_and_share_them_later() -> None:
    with peer(*[GOOD] * 8) as aws:
        pool = connections(aws.url)
        meet = threading.Barrier(2)

        def twice() -> None:
            for _ in range(2):
                meet.wait()
                pool.post({}, b"")

        threads = [threading.Thread(target=twice) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        before = aws.connections
        for _ in range(4):
            pool.post({}, b"")

    assert before <= 2
    assert aws.connections == before


def test_a_connection_that_was_closed_meanwhile_is_not_used_again() -> None:
    with peer(GOOD + b"!", GOOD) as aws:
        pool = connections(aws.url)
        pool.post({}, b"first")
        assert aws.closed.wait(5)

        assert pool.post({}, b"second").status_code == 200

    assert aws.connections == 2
    assert aws.bodies == [b"first", b"second"]


def test_an_answer_that_says_so_is_the_last_of_its_connection() -> None:
    with peer(LAST, GOOD) as aws:
        pool = connections(aws.url)
        pool.post({}, b"")
        pool.post({}, b"")

    assert aws.connections == 2


def test_an_answer_that_breaks_off_is_said_to_and_its_connection_is_gone() -> None:
    with peer(HALF, GOOD) as aws:
        pool = connections(aws.url)
        with pytest.raises(ConnectionClosedError):
            pool.post({}, b"")
        assert pool.post({}, b"").status_code == 200

    assert aws.connections == 2


def test_after_one_connection_broke_the_others_are_not_tried() -> None:
    with peer(*[GOOD] * 2, HALF, GOOD) as aws:
        pool = connections(aws.url)
        meet = threading.Barrier(2)

        def post() -> None:
            meet.wait()
            pool.post({}, b"")

        threads = [threading.Thread(target=post) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        opened = aws.connections
        with pytest.raises(ConnectionClosedError):
            pool.post({}, b"")
        pool.post({}, b"")

    assert aws.connections == opened + 1


def test_a_process_that_was_forked_has_connections_of_its_own() -> None:
    with peer(GOOD, GOOD, GOOD) as aws:
        pool = connections(aws.url)
        pool.post({}, b"parent")
        child = os.fork()
        if child == 0:
            os._exit(pool.post({}, b"child").status_code != 200)
        assert os.waitpid(child, 0)[1] == 0
        pool.post({}, b"parent again")

    assert aws.connections == 2
    assert aws.bodies == [b"parent", b"child", b"parent again"]


def test_silence_is_waited_out() -> None:
    with peer(SILENCE, GOOD) as aws:
        pool = connections(aws.url, read=0.05)
        with pytest.raises(ReadTimeoutError):
            pool.post({}, b"")


def test_each_request_on_a_connection_is_waited_for_as_long_as_it_says() -> None:
    with peer(GOOD, SILENCE) as aws:
        pool = Connections(aws.url, connect_s=5, ca_bundle="")
        request = Request("POST", "/", {}, b"")
        pool.ask(request, read_s=600)
        problems: list[Exception] = []

        def ask() -> None:
            with pytest.raises(ReadTimeoutError) as problem:
                pool.ask(request, read_s=0.05)
            problems.append(problem.value)

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(10)

    assert len(problems) == 1
    assert aws.connections == 1


def test_where_nobody_listens_there_is_no_connection() -> None:
    with peer() as aws:
        url = aws.url
    with pytest.raises(EndpointConnectionError, match="127"):
        connections(url.replace("127.0.0.1", "127.0.0.3")).post({}, b"")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for this machine that trusts itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    here = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([here]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    pem = serialization.Encoding.PEM
    path.write_bytes(
        made.public_bytes(pem)
        + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


def _serving(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_a_peer_whose_certificate_is_trusted_is_spoken_to_in_secret(certificate: Path) -> None:
    with peer(GOOD, GOOD, context=_serving(certificate)) as aws:
        pool = connections(aws.url, ca_bundle=str(certificate))
        assert [pool.post({}, b"secret").status_code for _ in range(2)] == [200, 200]

    assert aws.connections == 1


def test_a_peer_with_an_untrusted_certificate_receives_nothing(certificate: Path) -> None:
    with (
        peer(GOOD, context=_serving(certificate)) as aws,
        pytest.raises(SSLError, match="certificate"),
    ):
        connections(aws.url, ca_bundle=str(get_cert_path(verify=True))).post({}, b"secret")

    assert aws.bodies == []


def test_of_the_connections_of_many_open_answers_some_are_kept() -> None:
    more = 3
    many = MOST_IDLE + more
    get = Request("GET", "/", {}, b"")
    with peer(*[GOOD] * (2 * many)) as aws:
        made = Connections(aws.url, connect_s=5, ca_bundle="")
        for _ in range(2):
            opened = [made.open(get, read_s=5) for _ in range(many)]
            assert {answer.body.read() for answer in opened} == {b"{}"}

    assert aws.connections == many + more
