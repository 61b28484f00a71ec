"""A kubeconfig: clusters, users and the contexts that join them.

Understood: ``server``, ``certificate-authority`` and its data, ``tls-server-name``; ``token``, ``tokenFile``, client
certificate and key and their data. What would make us run programs (``exec``, ``auth-provider``), trust anybody
(``insecure-skip-tls-verify``) or go through somebody (``proxy-url``) is refused by name.
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

from msgspec import Struct, ValidationError, convert, field

from gateway.actuators.actuator import ActuatorFailed
from gateway.actuators.kubernetes.credentials import Credentials, no_token, read_text, tls_context, token_from

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_Item = TypeVar("_Item")

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class Cluster(Struct, frozen=True, rename="kebab"):
    """An API server."""

    server: str
    certificate_authority: str | None = None
    certificate_authority_data: str | None = None
    tls_server_name: str | None = None
    insecure_skip_tls_verify: bool = False
    proxy_url: str | None = None


class User(Struct, frozen=True, rename="kebab"):
    """Somebody who may ask it."""

    token: str | None = None
    token_file: str | None = field(name="tokenFile", default=None)
    client_certificate: str | None = None
    client_certificate_data: str | None = None
    client_key: str | None = None
    client_key_data: str | None = None
    exec: object = None
    auth_provider: object = None
    username: str | None = None


class Context(Struct, frozen=True):
    """Who asks whom."""

    cluster: str
    user: str = ""


class NamedCluster(Struct, frozen=True):
    """A cluster under its name."""

    name: str
    cluster: Cluster


class NamedUser(Struct, frozen=True):
    """A user under its name."""

    name: str
    user: User = User()


class NamedContext(Struct, frozen=True):
    """A context under its name."""

    name: str
    context: Context


class Kubeconfig(Struct, frozen=True):
    """The whole file."""

    clusters: list[NamedCluster]
    contexts: list[NamedContext]
    users: list[NamedUser] = field(default_factory=list)
    current_context: str = field(name="current-context", default="")


def read_kubeconfig(file: Path, context: str | None = None) -> Credentials:
    """The credentials of a context, or of the current one; ActuatorFailed says what cannot be used."""
    config = _parse(file)
    name = context or config.current_context
    chosen = _find({each.name: each.context for each in config.contexts}, name, "context")
    cluster = _find({each.name: each.cluster for each in config.clusters}, chosen.cluster, "cluster")
    user = _find({each.name: each.user for each in config.users}, chosen.user, "user") if chosen.user else User()
    _check(cluster, user, name)
    if urlsplit(cluster.server).scheme == "http":
        return Credentials(cluster.server.rstrip("/"), no_token, None)
    folder = file.parent
    tls = tls_context(_pem(cluster.certificate_authority_data, cluster.certificate_authority, folder, "the CA"))
    _load_client(tls, user, folder)
    return Credentials(cluster.server.rstrip("/"), _token(user, folder), tls, cluster.tls_server_name)


def _parse(file: Path) -> Kubeconfig:
    try:
        import yaml  # noqa: PLC0415 - only who has a kubeconfig needs it
    except ImportError as error:
        raise ActuatorFailed("no_credentials", "a kubeconfig needs PyYAML: install gateway[kubernetes]") from error
    try:
        return convert(yaml.safe_load(read_text(file, "the kubeconfig")), Kubeconfig)
    except (yaml.YAMLError, ValidationError) as error:
        detail = f"{file} is not a kubeconfig: {str(error).partition(chr(10))[0]}"
        raise ActuatorFailed("no_credentials", detail) from error


def _find(items: Mapping[str, _Item], name: str, what: str) -> _Item:
    if name not in items:
        known = ", ".join(sorted(items)) or "none"
        raise ActuatorFailed("no_credentials", f'the kubeconfig has no {what} "{name}"; it has {known}')
    return items[name]


def _check(cluster: Cluster, user: User, name: str) -> None:
    """Refuse what would make us run, trust or tell what we should not."""
    url = urlsplit(cluster.server)
    refusals = {
        "exec: programs are not run to log in; use a token or a client certificate": user.exec is not None,
        "auth-provider: it was removed from Kubernetes; use a token or a client certificate": (
            user.auth_provider is not None
        ),
        "username: API servers take no passwords; use a token or a client certificate": user.username is not None,
        "insecure-skip-tls-verify: name the cluster's certificate-authority": cluster.insecure_skip_tls_verify,
        "proxy-url: the API server must be reachable directly": cluster.proxy_url is not None,
        "server: expected https://…, or http:// on this machine (kubectl proxy)": not (
            url.scheme == "https" or (url.scheme == "http" and url.hostname in _LOOPBACK)
        ),
    }
    for refusal, is_refused in refusals.items():
        if is_refused:
            raise ActuatorFailed("no_credentials", f'context "{name}" cannot be used because of {refusal}')


def _token(user: User, folder: Path) -> Callable[[], str | None]:
    if user.token_file is not None:
        return token_from(folder / user.token_file)
    token = user.token
    return no_token if token is None else lambda: token


def _pem(data: str | None, name: str | None, folder: Path, what: str) -> str | None:
    """PEM text from base64 in the file or from a file beside it; the data win, as in kubectl."""
    if data is not None:
        try:
            return base64.b64decode(data, validate=True).decode("ascii")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise ActuatorFailed("no_credentials", f"the kubeconfig's data of {what} are not base64 of PEM") from error
    return None if name is None else read_text(folder / name, what)


def _load_client(tls: ssl.SSLContext, user: User, folder: Path) -> None:
    certificate = _pem(user.client_certificate_data, user.client_certificate, folder, "the client certificate")
    key = _pem(user.client_key_data, user.client_key, folder, "the client key")
    if certificate is None and key is None:
        return
    if certificate is None or key is None:
        raise ActuatorFailed("no_credentials", "a client certificate and its key belong together; one is missing")
    try:
        with _short_lived(f"{certificate}\n{key}") as file:
            tls.load_cert_chain(file, password=lambda: "")
    except (ssl.SSLError, ValueError) as error:
        raise ActuatorFailed("no_credentials", "the client certificate and its key do not fit or are no PEM") from error


@contextmanager
def _short_lived(text: str) -> Iterator[str]:
    """A file that only we can read, because OpenSSL takes keys from nowhere else; gone at once."""
    handle, name = tempfile.mkstemp(prefix="gateway-")
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(text)
        yield name
    finally:
        Path(name).unlink()
