"""The part of a Kubernetes API server that scales things, over real TLS.

Others' clients use it as well as ours: ``kubectl`` and PyPI's ``kubernetes`` in the tests. It keeps one Deployment or StatefulSet per name with a version that grows with every change, answers 409 to a patch of
an older version, leaves out what is 0 as Kubernetes does, streams changes as JSON lines from any version that it still
remembers (410 otherwise), and believes only its own token or a client certificate of its own CA. ``hand`` is for the
test: what pods become ready, what fails, what is forgotten.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import json
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import trustme
import yaml
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_KINDS = {"deployments": "Deployment", "statefulsets": "StatefulSet"}
_MORE: dict[str, dict[str, Any]] = {"deployments": {}, "statefulsets": {"serviceName": "shop"}}
TOKEN = "token-of-the-service-account"


def _resource(name: str, kind: str, **more: str) -> dict[str, Any]:
    return {"name": name, "namespaced": True, "kind": kind, "verbs": ["get", "list", "watch", "patch"], **more}


def _group(name: str, version: str) -> dict[str, Any]:
    found = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [found], "preferredVersion": found}


_SCALE = {"group": "autoscaling", "version": "v1"}
_DISCOVERY: dict[str, Any] = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": []},
    "/apis": {"kind": "APIGroupList", "groups": [_group("apps", "v1"), _group("autoscaling", "v2")]},
    "/apis/apps/v1": {
        "kind": "APIResourceList",
        "groupVersion": "apps/v1",
        "resources": [
            _resource("deployments", "Deployment"),
            _resource("deployments/scale", "Scale", **_SCALE),
            _resource("statefulsets", "StatefulSet"),
            _resource("statefulsets/scale", "Scale", **_SCALE),
        ],
    },
    "/apis/autoscaling/v2": {
        "kind": "APIResourceList",
        "groupVersion": "autoscaling/v2",
        "resources": [_resource("horizontalpodautoscalers", "HorizontalPodAutoscaler")],
    },
}


class ApiServer:
    """A running API server; ``requests`` are method, path and body of what came, in order."""

    def __init__(self) -> None:
        self.token = TOKEN
        self.requests: list[tuple[str, str, str]] = []
        self.refuse: dict[tuple[str, str], list[tuple[int, str]]] = {}
        """(method, end of the path) → statuses and reasons to answer with, one each time."""
        self.forbidden: set[tuple[str, str]] = set()
        """(verb, resource) that the role does not have, such as ("patch", "deployments/scale")."""
        self.autoscalers: list[dict[str, Any]] = []
        self.before_patch: Any = None
        """Called between reading and judging a patch: somebody else's turn."""
        self.is_hanging = False
        self.watches = 0
        self.ca = trustme.CA()
        self.client = self.ca.issue_cert("gateway-client")
        self.port = 0
        self._objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self._version = 1000
        self._oldest = 1000
        self._log: list[tuple[int, str, dict[str, Any]]] = []
        self._changed = asyncio.Event()
        self._cut = asyncio.Event()
        self._scaled_by: dict[str, str] = {}
        """Who set ``spec.replicas`` last, by name of the object."""
        self._runner: web.AppRunner | None = None

    # the test's hand

    def create(self, name: str, replicas: int, *, ready: int = 0, resource: str = "deployments") -> None:
        """Somebody makes a Deployment (or StatefulSet) in namespace default."""
        kind = _KINDS[resource]
        found = {
            "apiVersion": "apps/v1",
            "kind": kind,
            "metadata": {"name": name, "namespace": "default", "uid": f"uid-{self._version}", "generation": 1},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {"containers": [{"name": name, "image": f"{name}:1"}]},
                },
                **_MORE[resource],
            },
            "status": {},
        }
        self._objects["default", resource, name] = found
        self._store("ADDED", found)
        self.set_ready(name, ready, resource=resource)

    def set_ready(self, name: str, ready: int, *, resource: str = "deployments", **more: Any) -> None:
        """Its controller has counted pods."""
        found = self._objects["default", resource, name]
        status = {"replicas": found["spec"]["replicas"], "readyReplicas": ready, "updatedReplicas": ready, **more}
        found["status"] = {key: value for key, value in status.items() if value != 0}
        self._store("MODIFIED", found)

    def set_replicas(self, name: str, replicas: int, *, resource: str = "deployments") -> None:
        """Somebody else scales it."""
        found = self._objects["default", resource, name]
        found["spec"]["replicas"] = replicas
        self._store("MODIFIED", found)

    def delete(self, name: str, *, resource: str = "deployments") -> None:
        """Somebody deletes it."""
        self._store("DELETED", self._objects.pop(("default", resource, name)))

    def replicas(self, name: str, *, resource: str = "deployments") -> int:
        """How many pods its spec asks for."""
        count: int = self._objects["default", resource, name]["spec"]["replicas"]
        return count

    def add_autoscaler(self, name: str, target: str, *, kind: str = "Deployment", **labels: str) -> None:
        """Somebody makes an HPA."""
        reference = {"apiVersion": "apps/v1", "kind": kind, "name": target}
        metadata = {"name": name, "namespace": "default", "labels": labels}
        self.autoscalers.append(
            {
                "apiVersion": "autoscaling/v2",
                "kind": "HorizontalPodAutoscaler",
                "metadata": metadata,
                "spec": {"scaleTargetRef": reference, "maxReplicas": 10},
            }
        )

    def forget(self) -> None:
        """Compaction: what was before now cannot be followed from any more, and watches end."""
        self._version += 1
        self._oldest = self._version
        self._log.clear()
        self.cut()

    def bookmark(self) -> None:
        """Tell all watches the present version."""
        self._version += 1
        self._log.append((self._version, "BOOKMARK", {"metadata": {"resourceVersion": str(self._version)}}))
        self._wake()

    def garble(self) -> None:
        """Say half a line inside of the running watches, and again to whoever goes on from before it."""
        self._version += 1
        self._log.append((self._version, "GARBLED", {}))
        self._wake()

    def expire_watches(self) -> None:
        """Say 410 inside of the running watches, as the server does when it cannot keep up."""
        self._version += 1
        self._oldest = self._version
        status = _status(410, "Expired", "too old resource version")
        self._log = [(self._version, "ERROR", status)]
        self._wake()

    def cut(self) -> None:
        """End all watches."""
        self._cut.set()
        self._cut = asyncio.Event()

    def refuse_once(self, method: str, end: str, code: int, reason: str, *, times: int = 1) -> None:
        """Answer the next requests like this with an error."""
        self.refuse.setdefault((method, end), []).extend([(code, reason)] * times)

    def write_account(self, folder: Path) -> Path:
        """The files of a service account, as in a pod."""
        (folder / "token").write_text(self.token)
        self.ca.cert_pem.write_to_path(str(folder / "ca.crt"))
        return folder

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a pod."""
        return {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(self.port)}

    def kubeconfig(self, user: dict[str, Any], **cluster: Any) -> str:
        """A kubeconfig for this server, in YAML's JSON subset."""
        ca = base64.b64encode(self.ca.cert_pem.bytes()).decode()
        cluster = {"server": f"https://127.0.0.1:{self.port}", "certificate-authority-data": ca, **cluster}
        return json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "here",
                "clusters": [{"name": "loopback", "cluster": cluster}],
                "users": [{"name": "gateway", "user": user}],
                "contexts": [{"name": "here", "context": {"cluster": "loopback", "user": "gateway"}}],
            }
        )

    # the server

    async def start(self, port: int = 0) -> None:
        """Listen; again on the same port after :meth:`stop`."""
        certificate = self.ca.issue_cert("127.0.0.1")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        self.ca.configure_trust(context)
        context.verify_mode = ssl.CERT_OPTIONAL
        app = web.Application()
        base = "/apis/apps/v1/namespaces/{ns}/{resource:deployments|statefulsets}"
        app.router.add_get(base, self._collection)
        app.router.add_get(base + "/{name}", self._object)
        app.router.add_patch(base + "/{name}", self._apply)
        app.router.add_get(base + "/{name}/scale", self._scale)
        app.router.add_patch(base + "/{name}/scale", self._patch)
        app.router.add_get("/apis/autoscaling/v2/namespaces/{ns}/horizontalpodautoscalers", self._hpas)
        app.router.add_get("/{path:(?:api|apis)(?:/.*)?}", self._discover)
        # a dead server does not say goodbye
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port or self.port, ssl_context=context, reuse_address=True)
        await site.start()
        assert site._server is not None
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]

    async def stop(self) -> None:
        """Be dead."""
        self.cut()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _store(self, kind: str, found: dict[str, Any]) -> None:
        self._version += 1
        found["metadata"]["resourceVersion"] = str(self._version)
        self._log.append((self._version, kind, copy.deepcopy(found)))
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _admit(self, request: web.Request, verb: str, resource: str) -> None:
        body = await request.text()
        self.requests.append((request.method, request.path_qs, body))
        while self.is_hanging:
            await asyncio.sleep(0.02)
        peer = request.transport.get_extra_info("peercert") if request.transport else None
        if not peer and request.headers.get("Authorization") != f"Bearer {self.token}":
            raise _refusal(401, "Unauthorized", "Unauthorized")
        if (verb, resource) in self.forbidden:
            who = 'User "system:serviceaccount:default:gateway"'
            raise _refusal(403, "Forbidden", f'{resource} is forbidden: {who} cannot {verb} resource "{resource}"')
        for (method, end), answers in self.refuse.items():
            if answers and method == request.method and request.path.endswith(end):
                raise _refusal(*answers.pop(0), "as the test wants")

    def _find(self, request: web.Request) -> dict[str, Any]:
        info = request.match_info
        found = self._objects.get((info["ns"], info["resource"], info["name"]))
        if found is None:
            raise _refusal(404, "NotFound", f'{info["resource"]}.apps "{info["name"]}" not found')
        return found

    async def _collection(self, request: web.Request) -> web.StreamResponse:
        resource, ns = request.match_info["resource"], request.match_info["ns"]
        name = request.query.get("fieldSelector", "").removeprefix("metadata.name=")
        if request.query.get("watch") not in {None, "0", "false"}:
            await self._admit(request, "watch", resource)
            return await self._watch(request, resource, name)
        await self._admit(request, "list", resource)
        items = [each for key, each in self._objects.items() if key[:2] == (ns, resource) and name in {"", key[2]}]
        kind = _KINDS[resource] + "List"
        metadata = {"resourceVersion": str(self._version)}
        return web.json_response({"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "items": items})

    async def _watch(self, request: web.Request, resource: str, name: str) -> web.StreamResponse:  # noqa: C901, PLR0912 - a loop
        said = request.query.get("resourceVersion", "")
        version = int(said) if said not in {"", "0"} else self._version
        if version < self._oldest:
            raise _refusal(410, "Expired", f"too old resource version: {version} ({self._oldest})")
        kind = _KINDS[resource]
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        self.watches += 1
        cut = self._cut
        try:
            if said in {"", "0"}:  # from now on, and first what there is
                for (_, of, called), found in list(self._objects.items()):
                    if of == resource and name in {"", called}:
                        await response.write(json.dumps({"type": "ADDED", "object": found}).encode() + b"\n")
            while not cut.is_set():
                changed = self._changed
                for at, event, found in list(self._log):
                    is_ours = event in {"BOOKMARK", "ERROR", "GARBLED"} or (
                        found["kind"] == kind and name in {"", found["metadata"]["name"]}
                    )
                    if at > version and is_ours:
                        if event == "BOOKMARK":
                            found = {"apiVersion": "apps/v1", "kind": kind, **found}  # noqa: PLW2901 - the same, typed
                        line = json.dumps({"type": event, "object": found}).encode() + b"\n"
                        if event == "GARBLED":
                            line = line[:20] + b"\n"
                        # in two pieces, because a line is not a packet
                        await response.write(line[:10])
                        await response.write(line[10:])
                        if event == "ERROR":
                            return response
                    version = max(version, at)
                waits = [asyncio.ensure_future(each.wait()) for each in (changed, cut)]
                try:
                    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for each in waits:
                        each.cancel()
        finally:
            self.watches -= 1
        return response

    async def _object(self, request: web.Request) -> web.Response:
        await self._admit(request, "get", request.match_info["resource"])
        return web.json_response(self._find(request))

    async def _scale(self, request: web.Request) -> web.Response:
        await self._admit(request, "get", request.match_info["resource"] + "/scale")
        return web.json_response(_scale_of(self._find(request)))

    async def _patch(self, request: web.Request) -> web.Response:
        await self._admit(request, "patch", request.match_info["resource"] + "/scale")
        if request.content_type != "application/merge-patch+json":
            raise _refusal(415, "UnsupportedMediaType", "expected a merge patch")
        if self.before_patch is not None:
            self.before_patch()
        found = self._find(request)
        scale = _merged(_scale_of(found), json.loads(await request.text()))
        if scale["metadata"].get("resourceVersion") not in {None, found["metadata"]["resourceVersion"]}:
            message = "the object has been modified; please apply your changes to the latest version and try again"
            raise _refusal(409, "Conflict", message)
        replicas = scale["spec"].get("replicas", 0)
        if type(replicas) is not int or replicas < 0:
            raise _refusal(422, "Invalid", "spec.replicas: must be greater than or equal to 0")
        if replicas != found["spec"]["replicas"]:
            self._scaled_by[found["metadata"]["name"]] = request.query.get("fieldManager") or "scale"
            found["spec"]["replicas"] = replicas
            found["metadata"]["generation"] += 1
            self._store("MODIFIED", found)
        return web.json_response(_scale_of(found))

    async def _apply(self, request: web.Request) -> web.Response:
        """Server-side apply, as far as it is about ``spec.replicas``: what somebody else set is a conflict, or forced."""
        await self._admit(request, "patch", request.match_info["resource"])
        if request.content_type != "application/apply-patch+yaml":
            raise _refusal(415, "UnsupportedMediaType", "expected a server-side apply")
        found, manager = self._find(request), request.query["fieldManager"]
        name, wanted = found["metadata"]["name"], yaml.safe_load(await request.text())
        replicas = wanted.get("spec", {}).get("replicas")
        owner = self._scaled_by.get(name, manager)
        if replicas not in {None, found["spec"]["replicas"]}:
            if owner != manager and request.query.get("force") != "true":
                message = f'Apply failed with 1 conflict: conflict with "{owner}" using apps/v1: .spec.replicas'
                raise _refusal(409, "Conflict", message)
            self._scaled_by[name] = manager
        merged = _merged(found, {"spec": wanted.get("spec", {})})
        if merged != found:
            found["spec"] = merged["spec"]
            found["metadata"]["generation"] += 1
            self._store("MODIFIED", found)
        return web.json_response(found)

    async def _discover(self, request: web.Request) -> web.Response:
        """What there is: our own client never asks, others do first of all."""
        await self._admit(request, "get", request.path)
        found = _DISCOVERY.get(request.path)
        if found is None:
            raise _refusal(404, "NotFound", "the server could not find the requested resource")
        return web.json_response(found)

    async def _hpas(self, request: web.Request) -> web.Response:
        await self._admit(request, "list", "horizontalpodautoscalers")
        return web.json_response({"metadata": {"resourceVersion": str(self._version)}, "items": self.autoscalers})


def _scale_of(found: dict[str, Any]) -> dict[str, Any]:
    metadata = {key: found["metadata"][key] for key in ("name", "namespace", "uid", "resourceVersion")}
    replicas, present = found["spec"]["replicas"], found["status"].get("replicas", 0)
    return {
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": metadata,
        "spec": {"replicas": replicas} if replicas else {},
        "status": {"replicas": present, "selector": f"app={metadata['name']}"},
    }


def _merged(whole: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    result = dict(whole) if isinstance(whole, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result


def _status(code: int, reason: str, message: str) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": reason,
        "message": message,
        "code": code,
    }


class _Refusal(web.HTTPException):
    status_code = 400  # and then whatever is set


def _refusal(code: int, reason: str, message: str) -> web.HTTPException:
    error = _Refusal(text=json.dumps(_status(code, reason, message)), content_type="application/json")
    error.set_status(code)
    return error


@asynccontextmanager
async def running_api_server() -> AsyncIterator[ApiServer]:
    """An API server on loopback."""
    server = ApiServer()
    await server.start()
    try:
        yield server
    finally:
        server.is_hanging = False
        await server.stop()
