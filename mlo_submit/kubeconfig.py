"""The user's kubeconfig: which context it names, and a connection with the login that it has.

The `kubernetes` client reads it, runs login plugins and opens connections; its import takes 0.2 s, and only `connect`
needs it.
"""

from __future__ import annotations

import json
import re
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mlo_submit import process
from mlo_submit.errors import LoginError, UnavailableError
from mlo_submit.kube import CONNECT_TIMEOUT, JSON, READ_TIMEOUT, Cluster
from mlo_submit.machine import Machine


def files(machine: Machine) -> list[Path]:
    """The kubeconfig files that kubectl would read, those that exist."""
    places = machine.environ.get("KUBECONFIG") or str(machine.home / ".kube/config")
    return [path for place in places.split(":") if place and (path := machine.path(place)).is_file()]


def has_context(machine: Machine) -> bool:
    """Whether a kubeconfig names a current context: found by a glance, since parsing YAML takes 20 ms."""
    line = re.compile(r"^\s*\"?current-context\"?:\s*[\"']?[^\s\"',}]", re.MULTILINE)
    return any(line.search(path.read_text(errors="replace")) for path in files(machine))


def current_context(machine: Machine) -> JSON:
    """The current context of the kubeconfig (cluster, user, namespace); empty where there is none."""
    import yaml

    for path in files(machine):
        try:
            config = yaml.safe_load(path.read_text()) or {}
            name = config.get("current-context")
            return dict(next(item["context"] for item in config["contexts"] if item["name"] == name))
        except (OSError, ValueError, yaml.YAMLError, AttributeError, KeyError, TypeError, StopIteration):
            continue
    return {}


def connect(machine: Machine, context: str) -> Cluster:
    """Connect as kubectl would: KUBECONFIG or ~/.kube/config, and `context` or the current one.

    Raises:
        UnavailableError: no kubeconfig, or one that cannot be used.
        LoginError: no login, an expired one, or a login plugin that is missing or fails.
    """
    paths = files(machine)
    if not paths:
        place = machine.environ.get("KUBECONFIG") or machine.home / ".kube/config"
        raise UnavailableError(
            f"there is no kubeconfig ({place}): get the one of your cluster and log in, "
            "or choose another backend with --backend."
        )
    import logging

    from kubernetes.client import Configuration
    from kubernetes.client.rest import RESTClientObject
    from kubernetes.config import ConfigException
    from kubernetes.config.kube_config import KubeConfigLoader, KubeConfigMerger
    from urllib3 import disable_warnings
    from urllib3.exceptions import InsecureRequestWarning
    from yaml import YAMLError

    merge: Any = KubeConfigMerger  # the client has no types
    load: Any = KubeConfigLoader

    try:
        merged = merge(":".join(map(str, paths))).config
        name = context or merged.safe_get("current-context")
        if not name:
            raise UnavailableError(
                f"{paths[0]} has no current context: choose one with `kubectl config use-context NAME`, "
                "or MLO_KUBE_CONTEXT in .env."
            )
        user_name = merged["contexts"].get_with_name(name)["context"].safe_get("user")
        user = merged["users"].get_with_name(user_name)["user"].value if user_name else {}
        _check_login(machine, user or {}, name, paths[0].parent)
        # Who sets insecure-skip-tls-verify knows it, and kubectl says nothing either.
        disable_warnings(InsecureRequestWarning)
        # It would tell us, and so the user, that more connections are open than it keeps.
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
        configuration: Any = Configuration()
        with _Complaints() as complaints:
            # Read again, since kubectl may have renewed the login.
            loader = load(merge(":".join(map(str, paths))).config, active_context=name)
            loader.load_and_set(configuration)
    except (ConfigException, YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise UnavailableError(f"{paths[0]} cannot be used as a kubeconfig: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise UnavailableError(f"{paths[0]} cannot be used as a kubeconfig: {error}") from None
    if complaints.text:
        # The client would go on as system:anonymous.
        raise LoginError(f"the login plugin of {paths[0]} fails: {complaints.text}. {how_to_log_in(user or {})}")
    open_pool: Any = RESTClientObject
    return Cluster(
        pool=open_pool(configuration).pool_manager,
        context=name,
        server=configuration.host,
        token=next((auth["value"] for auth in configuration.auth_settings().values()), ""),
        login=how_to_log_in(user or {}),
    )


def how_to_log_in(user: JSON) -> str:
    """A sentence: the command that logs this user of a kubeconfig in."""
    if plugin := user.get("exec"):
        return f"Log in with `{' '.join([plugin.get('command', ''), *map(str, plugin.get('args') or [])])}`."
    if "auth-provider" in user:
        return "Log in with `runai login`."
    return "Get a new kubeconfig: the token or certificate in yours is not valid."


def _check_login(machine: Machine, user: JSON, context: str, base: Path) -> None:
    """What the client would skip over in silence, or cannot do: a missing plugin, an expired OIDC login."""
    if plugin := user.get("exec"):
        command = plugin.get("command", "")
        found = (base / command).is_file() if "/" in command else machine.which(command)
        if not found:
            hint = plugin.get("installHint") or "install it, as your cluster's help page says"
            raise LoginError(f"the kubeconfig logs in through `{command}`, which is not on PATH: {hint.strip()}")
    provider = user.get("auth-provider") or {}
    if provider.get("name") != "oidc":
        return
    token = (provider.get("config") or {}).get("id-token", "")
    if not token:
        raise LoginError(f"you are not logged in to {context}. {how_to_log_in(user)}")
    expiry = _expiry(token)
    if expiry and expiry < time.time() + 10:
        # kubectl renews an OIDC login by its refresh token and writes it back; the Python client cannot.
        renew = ["kubectl", "--context", context, "get", "--raw=/version"]
        if not machine.which("kubectl") or process.run(machine, renew, timeout=CONNECT_TIMEOUT + READ_TIMEOUT).code:
            moment = datetime.fromtimestamp(expiry, timezone.utc)
            raise LoginError(f"your login to {context} expired at {moment:%Y-%m-%d %H:%M} UTC. {how_to_log_in(user)}")


def _expiry(token: str) -> float | None:
    """When a JWT expires, in seconds since 1970; None where it does not say so."""
    import base64

    try:
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        return float(claims["exp"])
    except (ValueError, KeyError, IndexError, TypeError):
        return None


class _Complaints:
    """What the client logs while it reads a kubeconfig: its only word about a login plugin that failed."""

    text = ""

    def __enter__(self) -> _Complaints:
        import logging

        complaints = self

        class Handler(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                complaints.text = complaints.text or " ".join(record.getMessage().split())

        self._handler = Handler(logging.ERROR)
        logging.getLogger().addHandler(self._handler)
        return self

    def __exit__(self, *_: object) -> None:
        import logging

        logging.getLogger().removeHandler(self._handler)
