"""A local HTTP server that speaks the Messages API and misbehaves as told.

``script`` holds what the next requests get, in order; the last entry is repeated.
"""

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """A message; ``text`` is what the model wrote."""

    text: str
    stop_reason: str = "end_turn"


@dataclass(frozen=True)
class Status:
    """An HTTP error. What is given of ``retry_after`` and ``should_retry`` is sent with it."""

    code: int
    kind: str = "api_error"
    retry_after: str = ""
    should_retry: str = ""


@dataclass(frozen=True)
class Body:
    """200 with exactly these bytes."""

    data: bytes


@dataclass(frozen=True)
class Hang:
    """No answer until the server is stopped."""


@dataclass(frozen=True)
class Drop:
    """The connection is closed without an answer."""


Step = Reply | Status | Body | Hang | Drop


@dataclass
class FakeClaude:
    url: str
    script: list[Step]
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def next_step(self, body: dict[str, Any], headers: dict[str, str]) -> Step:
        with self._lock:
            self.requests.append(body)
            self.headers.append(headers)
            return self.script.pop(0) if len(self.script) > 1 else self.script[0]


def _message(reply: Reply, model: str) -> dict[str, Any]:
    return {
        "id": "msg_fake",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": reply.text}] if reply.text else [],
        "stop_reason": reply.stop_reason,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 120,
            "output_tokens": 80,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 3000,
        },
    }


def _handler(fake: FakeClaude) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            names = {key.lower(): value for key, value in self.headers.items()}
            match fake.next_step(body, names):
                case Reply() as reply:
                    self._send(200, json.dumps(_message(reply, body["model"])).encode())
                case Status(code=code, kind=kind) as status:
                    error = {"type": "error", "error": {"type": kind, "message": kind}}
                    told = {
                        "retry-after": status.retry_after,
                        "x-should-retry": status.should_retry,
                    }
                    extra = {name: value for name, value in told.items() if value}
                    self._send(code, json.dumps(error).encode(), extra)
                case Body(data=data):
                    self._send(200, data)
                case Hang():
                    fake.stopped.wait(60)
                    self.close_connection = True
                case Drop():
                    self.close_connection = True

        def _send(self, code: int, data: bytes, extra: dict[str, str] | None = None) -> None:
            self.send_response(code)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            for name, value in (extra or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Tests stay quiet."""

    return Handler


@contextlib.contextmanager
def fake_claude(*script: Step) -> Iterator[FakeClaude]:
    fake = FakeClaude("", list(script))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(fake))
    server.daemon_threads = True
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield fake
    finally:
        fake.stopped.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
