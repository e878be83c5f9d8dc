"""The command line's way to the services: HTTP on this host, with the administrator's token."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from domain.errors import PhoenixError
from infra.settings import Settings, load

_TIMEOUT_S = 30.0
_CONNECT_S = 3.0
# This host is asked in plain HTTP: reading whom else to trust would cost a command 20 to 40 ms.
NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Refused(PhoenixError):
    """The service said no; the message is its reason. Exit code 1."""

    def __init__(self, message: str, body: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.body = body or {}


class NotReachable(PhoenixError):
    """Nobody answers there. Exit code 3."""


def read_token(data_dir: Path) -> str:
    """The local administrator's token, as ``phoenix up`` wrote it; "" when there is none."""
    try:
        return (data_dir / "admin.token").read_text().strip()
    except OSError:
        return ""


class Client:
    """Calls one service after another by name."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or load()
        token = read_token(self.settings.data_dir)
        self._http = httpx.Client(
            timeout=httpx.Timeout(_TIMEOUT_S, connect=_CONNECT_S),
            headers={"Authorization": f"Bearer {token}"} if token else {},
            trust_env=False,  # a proxy of the environment is not for this host
            verify=NOBODY,
        )

    def url(self, service: str, path: str) -> str:
        return f"http://127.0.0.1:{self.settings.port(service)}{path}"

    def get(self, service: str, path: str, **query: Any) -> Any:
        """GET; return the JSON answer.

        Raises:
            Refused: the service answered with an error.
            NotReachable: nobody answers on the service's port.
        """
        params = {name: value for name, value in query.items() if value not in (None, "")}
        return self.call("GET", service, path, params=params)

    def post(self, service: str, path: str, body: Any = None, **query: Any) -> Any:
        """POST JSON; errors as ``get``."""
        return self.call("POST", service, path, json={} if body is None else body, params=query)

    def call(self, method: str, service: str, path: str, **more: Any) -> Any:
        """Any method; errors as ``get``."""
        with self._reaching(service):
            answer = self._http.request(method, self.url(service, path), **more)
        return _read(answer)

    def text(self, service: str, path: str, *, accept: str = "text/markdown", **query: Any) -> str:
        """GET something that is not JSON."""
        params = {name: value for name, value in query.items() if value not in (None, "")}
        with self._reaching(service):
            answer = self._http.get(
                self.url(service, path), params=params, headers={"Accept": accept}
            )
        if answer.is_error:
            _read(answer)
        return answer.text

    @contextmanager
    def stream(self, service: str, path: str) -> Iterator[Iterator[str]]:
        """The lines of a server-sent stream; its reads have no time-out."""
        timeout = httpx.Timeout(_TIMEOUT_S, connect=_CONNECT_S, read=None)
        with (
            self._reaching(service),
            self._http.stream("GET", self.url(service, path), timeout=timeout) as answer,
        ):
            if answer.is_error:
                answer.read()
                _read(answer)
            yield answer.iter_lines()

    @contextmanager
    def _reaching(self, service: str) -> Iterator[None]:
        try:
            yield
        except httpx.ConnectError:
            where = self.url(service, "")
            raise NotReachable(
                f"{service} does not answer at {where}: is `phoenix up` running?"
            ) from None
        except httpx.HTTPError as error:
            raise NotReachable(f"{service}: {type(error).__name__} {error}") from None


def _read(answer: httpx.Response) -> Any:
    try:
        body = answer.json()
    except ValueError:
        body = {}
    if answer.is_error:
        detail = body.get("detail") if isinstance(body, dict) else None
        raise Refused(
            str(detail or f"HTTP {answer.status_code}"), body if isinstance(body, dict) else {}
        )
    return body
