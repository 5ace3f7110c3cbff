"""The Kubernetes API, with answers as plain data and errors as sentences.

`kubeconfig.connect` opens a connection. The client's classes for the kinds of objects would take 0.5 s to import, and
are not used.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlo_submit.errors import LoginError, RefusedError, UnavailableError

CONNECT_TIMEOUT = 3.0  # seconds, for each address of the server
READ_TIMEOUT = 8.0  # seconds; both together stay under the 15 s that a user is made to wait for nothing

JSON = dict[str, Any]


class ApiRefusal(RefusedError):
    """The API said no, for a reason that only the caller can put into words. `status` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"the Kubernetes API refuses: {message}")
        self.status = status


class Denied(LoginError):
    """Not logged in (401), or not allowed (403)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def path(kind: str, namespace: str, name: str = "", group: str = "") -> str:
    """Where the API has the objects of a kind ("jobs"), or the one of that name; `group` is that of others' kinds."""
    from urllib.parse import quote

    group = group or ("apis/batch/v1" if kind == "jobs" else "api/v1")
    return f"/{group}/namespaces/{quote(namespace, safe='')}/{kind}" + (f"/{quote(name, safe='')}" if name else "")


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A connection, for any number of threads. `pool` is urllib3's; `login` says how to log in."""

    pool: Any
    context: str
    server: str
    token: str = field(repr=False)
    login: str

    def call(self, method: str, path: str, body: object = None, **query: str | int) -> JSON:
        """One request; the body of a PATCH is a merge patch. Returns the answer's JSON.

        Raises: as `ask`.
        """
        return self.ask(method, path, body, **query)[0]

    def read(self, path: str) -> JSON:
        """The object that is there; empty where none is. Raises otherwise as `ask`."""
        try:
            return self.call("GET", path)
        except ApiRefusal as error:
            if error.status != 404:
                raise
            return {}

    def ask(self, method: str, path: str, body: object = None, **query: str | int) -> tuple[JSON, Mapping[str, str]]:
        """Like `call`, with the headers of the answer.

        Raises:
            UnavailableError: no answer in time, or none that can be trusted.
            Denied: 401 or 403.
            ApiRefusal: any other status that is no success.
        """
        from urllib.parse import urlencode

        from urllib3 import Timeout
        from urllib3.exceptions import HTTPError

        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "gzip",  # thousands of jobs take 34 MB as they are, and a tenth so
            "Content-Type": "application/merge-patch+json" if method == "PATCH" else "application/json",
            "User-Agent": "mlo-submit",
            **({"Authorization": self.token} if self.token else {}),
        }
        try:
            answer = self.pool.request(
                method,
                f"{self.server}{path}" + (f"?{urlencode(query)}" if query else ""),
                headers=headers,
                body=None if body is None else json.dumps(body),
                timeout=Timeout(connect=CONNECT_TIMEOUT, read=READ_TIMEOUT),
                retries=False,  # urllib3's three would make 15 seconds of waiting 50
            )
            if not 200 <= answer.status < 300:
                raise self._refusal(answer.status, answer.data)
            found: JSON = json.loads(answer.data)
        except HTTPError as error:
            raise UnavailableError(self._silence(error)) from None
        except ValueError:
            raise UnavailableError(
                f"{self.server} answers, but not as the Kubernetes API does: is a proxy or a login page in between?"
            ) from None
        return found, answer.headers

    def _silence(self, error: Exception) -> str:
        from urllib3.exceptions import (
            ConnectTimeoutError,
            NewConnectionError,
            ProtocolError,
            ReadTimeoutError,
            SSLError,
        )

        api = f"the Kubernetes API at {self.server}"
        if isinstance(error, SSLError):
            return f"{api} cannot be trusted: {error}. Is your kubeconfig that of another cluster?"
        if isinstance(error, (ConnectTimeoutError, ReadTimeoutError)) and not isinstance(error, NewConnectionError):
            return f"{api} does not answer. Are you on the VPN, or is the cluster down?"
        reason = re.sub(r"^<[^>]*>: |^\w+\(.*?\): ", "", str(error))
        if isinstance(error, ProtocolError):
            reason = "it hangs up without an answer"
        return f"{api} cannot be reached: {reason}. Is the address in your kubeconfig right, and are you on the VPN?"

    def _refusal(self, status: int, body: bytes) -> ApiRefusal | Denied | UnavailableError:
        try:
            message = json.loads(body)["message"]
        except (ValueError, KeyError, TypeError):
            message = " ".join(body[:200].decode(errors="replace").split()) or f"HTTP {status}"
        if status == 401:
            return Denied(status, f"you are not logged in to the cluster at {self.server} (any more). {self.login}")
        if status == 403:
            return Denied(
                status,
                f"the cluster does not allow it: {message}. Is the namespace yours (K8S_NAMESPACE)? "
                "If it is, ask its administrator for the right.",
            )
        if status >= 500 or status == 429:
            return UnavailableError(f"the Kubernetes API at {self.server} is in trouble (HTTP {status}): {message}")
        return ApiRefusal(status, message)
