"""Answers that are no HTTP, or more than one answer: against a real socket."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Final

import pytest
from botocore.exceptions import ConnectionClosedError

from remotejob.backends.aws.direct import http_response
from remotejob.backends.aws.direct.connections import Connections, Request
from tests.backends.test_connections import GOOD, LAST, connections, peer

OK: Final = b"HTTP/1.1 200 OK\r\n"
CHUNKED: Final = OK + b"Transfer-Encoding: chunked\r\n\r\n"
GET: Final = Request("GET", "/", {}, b"")

# an answer that ends with "!" is followed by the end of the connection
HOSTILE: Final = {
    "another answer behind it": GOOD + OK + b"Content-Length: 4\r\n\r\nevil",
    "a byte behind it": GOOD + b"x",
    "a byte behind the last": LAST + b"x",
    "a byte behind no content": b"HTTP/1.1 204 No Content\r\n\r\nx",
    "content of an answer that has none": b"HTTP/1.1 304 -\r\nContent-Length: 2\r\n\r\n{}",
    "a byte behind the chunks": CHUNKED + b"2\r\n{}\r\n0\r\n\r\nx",
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 20\r\n\r\n{}!",
    "two lengths in one": OK + b"Content-Length: 2, 20\r\n\r\n{}!",
    "a length twice": OK + b"Content-Length: 2\r\ncontent-length: 2\r\n\r\n{}",
    "a length and chunks": OK
    + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n!",
    "chunks twice": OK
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "an unknown coding": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n!",
    "a coding spelt oddly": OK + b"Transfer-Encoding: xchunked\r\n\r\n{}!",
    "a negative length": OK + b"Content-Length: -2\r\n\r\n{}!",
    "a length with a sign": OK + b"Content-Length: +2\r\n\r\n{}",
    "a length with an underscore": OK + b"Content-Length: 0_2\r\n\r\n{}",
    "no length where it belongs": OK + b"Content-Length:\r\n\r\n{}!",
    "a hexadecimal length": OK + b"Content-Length: 0x2\r\n\r\n{}",
    "a length of other digits": OK + b"Content-Length: \xb2\r\n\r\n{}!",
    "a huge length": OK + b"Content-Length: 99999999999999\r\n\r\n{}!",
    "an absurd length": OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n{}!",
    "less content than it says": OK + b"Content-Length: 3\r\n\r\n{}!",
    "a negative chunk": CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n!",
    "a huge chunk": CHUNKED + b"ffffffff\r\n{}!",
    "an absurd chunk": CHUNKED + b"1" * 40 + b"\r\n{}!",
    "no size of a chunk": CHUNKED + b"\r\n{}\r\n0\r\n\r\n!",
    "a size with an underscore": CHUNKED + b"0_2\r\n{}\r\n0\r\n\r\n",
    "a longer chunk than it says": CHUNKED + b"2\r\n{}}\r\n0\r\n\r\n!",
    "chunks that break off": CHUNKED + b"2\r\n{}\r\n!",
    "a chunk that breaks off": CHUNKED + b"9\r\n{}!",
    "a long size of a chunk": CHUNKED + b"2;" + b"x" * 70_000 + b"\r\n{}\r\n0\r\n\r\n!",
    "endless trailers": CHUNKED + b"0\r\n" + b"a: b\r\n" * 20_000 + b"!",
    "no HTTP": b"SSH-2.0-OpenSSH_9.9\r\n\r\n!",
    "another HTTP": b"HTTP/2 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "an old HTTP": b"HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "no status": b"HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
    "a long status": b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\n{}",
    "a negative status": b"HTTP/1.1 -20 OK\r\nContent-Length: 2\r\n\r\n{}",
    "an unknown status": b"HTTP/1.1 999 -\r\nContent-Length: 2\r\n\r\n{}",
    "a space before the status": b"HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "another protocol": b"HTTP/1.1 101 Switching\r\n\r\n!",
    "endless interim answers": b"HTTP/1.1 100 Continue\r\n\r\n" * 1000 + GOOD + b"!",
    "a header without a colon": OK + b"Content-Length 2\r\n\r\n{}!",
    "a header without a name": OK + b": 2\r\nContent-Length: 2\r\n\r\n{}",
    "a folded header": OK + b"X: a\r\n Content-Length: 5\r\nContent-Length: 2\r\n\r\n{}",
    "a space before a colon": OK + b"Content-Length : 2\r\n\r\n{}!",
    "a null in a header": OK + b"X: a\0b\r\nContent-Length: 2\r\n\r\n{}",
    "a bare carriage return": OK + b"X: a\rContent-Length: 9\r\nContent-Length: 2\r\n\r\n{}",
    "many headers": OK + b"X: y\r\n" * 200 + b"Content-Length: 2\r\n\r\n{}",
    "a long header": OK + b"X: " + b"y" * 70_000 + b"\r\nContent-Length: 2\r\n\r\n{}!",
    "long headers": OK + (b"X: " + b"y" * 9000 + b"\r\n") * 9 + b"Content-Length: 2\r\n\r\n{}!",
    "a head that breaks off": OK + b"Content-Len!",
}


@pytest.mark.parametrize("answer", HOSTILE.values(), ids=HOSTILE)
def test_answer_that_is_not_one_answer_is_refused_with_its_connection(answer: bytes) -> None:
    with peer(answer, GOOD) as aws:
        pool = connections(aws.url)
        with pytest.raises(ConnectionClosedError):
            pool.post({}, b"first")

        assert pool.post({}, b"second").content == b"{}"

    assert aws.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Content-Length: 4\r\n\r\ndata" + GOOD,
        OK + b"Content-Length: 4\r\nConnection: close\r\n\r\ndatax",
    ],
)
def test_file_with_bytes_behind_it_is_refused_with_its_connection(answer: bytes) -> None:
    with peer(answer, GOOD) as aws:
        pool = Connections(aws.url, connect_s=5, ca_bundle="")
        opened = pool.open(GET, read_s=5)
        with pytest.raises(ConnectionError, match="beyond"):
            opened.body.read()

        assert pool.ask(GET, read_s=5).content == b"{}"

    assert aws.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Content-Length: 101\r\n\r\n" + b"x" * 101 + b"!",
        CHUNKED + b"64\r\n" + b"x" * 100 + b"\r\n1\r\nx\r\n0\r\n\r\n!",
        OK + b"Connection: close\r\n\r\n" + b"x" * 101 + b"!",
    ],
    ids=["length", "chunks", "until the end"],
)
def test_content_beyond_what_is_read_into_memory_is_refused(
    answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_response, "MOST_CONTENT", 100)
    with peer(answer, GOOD) as aws:
        pool = connections(aws.url)
        with pytest.raises(ConnectionClosedError) as refused:
            pool.post({}, b"")

    assert "at most 100" in str(refused.value.__cause__)


@pytest.mark.parametrize(
    ("answer", "content"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + GOOD, b"{}"),
        (OK + b"Content-Length: 0\r\n\r\n", b""),
        (OK + b"Content-Length:2\r\nX-Odd: \xe9\t!\r\n\r\n{}", b"{}"),
        (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n{}", b"{}"),
        (CHUNKED + b"2;x=y\r\n{}\r\n0\r\nTrailer: t\r\n\r\n", b"{}"),
        (CHUNKED + b"0\r\n\r\n", b""),
    ],
)
def test_unusual_answer_is_one_answer_and_its_connection_stays(
    answer: bytes, content: bytes
) -> None:
    with peer(answer, GOOD) as aws:
        pool = connections(aws.url)

        assert pool.post({}, b"").content == content
        assert pool.post({}, b"").content == b"{}"

    assert aws.connections == 1


def test_connection_on_which_an_answer_came_unasked_is_not_used_again() -> None:
    taken, sent = threading.Event(), threading.Event()
    bodies = []

    def serve(listening: socket.socket) -> None:
        for evil in (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", b""):
            connection, _ = listening.accept()
            with connection:
                bodies.append(connection.recv(10_000)[-1:])
                connection.sendall(GOOD)
                assert taken.wait(10)
                connection.sendall(evil)
                sent.set()
                # the client closes it without reading what came unasked
                with suppress(ConnectionResetError):
                    connection.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=serve, args=(listening,), daemon=True)
        server.start()
        pool = Connections(
            f"http://127.0.0.1:{listening.getsockname()[1]}/", connect_s=5, ca_bundle=""
        )
        for body in (b"1", b"2"):
            assert pool.ask(Request("POST", "/", {}, body), read_s=5).content == b"{}"
            taken.set()
            assert sent.wait(10)
        pool.drop_idle()
        server.join(10)

    assert bodies == [b"1", b"2"]
