"""What becomes of a request head, worked out once for all requests with equal heads.

Everything that depends on the head and the configuration alone is here: the route, the path that the
upstream sees, the fields that go on. What depends on the connection or the moment — who the client is,
the request id — is put in when the request is sent.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from gateway.core.errors import BadRequest
from gateway.http.budget import RELATIVE, UNLIMITED, read_budget, render_budget
from gateway.http.forwarded import extended_identity, with_prefix
from gateway.http.heads import without
from gateway.proxy.local import answer_locally

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.errors import GatewayError
    from gateway.http.downstream import ClientConnection
    from gateway.http.heads import RequestHead
    from gateway.proxy.plane import DataPlane
    from gateway.proxy.rule import RouteRule
    from gateway.upstream.endpoint import Endpoint

# Ours alone: an upstream may rely on it to know what it is asked again.
ATTEMPT: Final = "x-gateway-attempt"
_ENVOY_ATTEMPT: Final = "x-envoy-attempt-count"
_FIRST: Final = frozenset({"", "0", "1"})


class RequestPlan:
    """The route for a head and the bytes to send; or a ``refusal``, or an ``answer`` of our own."""

    # It does not hold the head that holds it: a cycle would leave every head to the garbage collector.
    __slots__ = (
        "_after",
        "_before",
        "_claim",
        "_host",
        "_id",
        "_identity",
        "_ids",
        "_is_plain",
        "_scheme",
        "answer",
        "budget",
        "is_repeat",
        "page",
        "parameters",
        "prefix",
        "rate_keys",
        "refusal",
        "rule",
    )

    def __init__(  # noqa: PLR0913 - what a request is made of
        self,
        plane: DataPlane,
        head: RequestHead,
        rule: RouteRule,
        target: str,
        *,
        path: str,
        parameters: Mapping[str, str],
        prefix: str = "",
    ) -> None:
        self.rule = rule
        self.prefix = prefix.encode("ascii")
        self.page = rule.breakers.pages.of(path)
        self.parameters = parameters
        # when they follow from the head alone; noted at its first request
        self.rate_keys: tuple[str, ...] | None = None
        self.refusal: GatewayError | None = None
        self.answer = b""
        self._host = head.host
        self._identity = head.identity
        self._scheme = plane.scheme
        self.budget = read_budget(head.headers)
        fields = head.fields
        removed = rule.request.removed
        if self.budget is not UNLIMITED:
            removed |= RELATIVE
        is_numbered = ATTEMPT in head.headers
        self.is_repeat = (is_numbered or _ENVOY_ATTEMPT in head.headers) and _is_repeat(head)
        if is_numbered:
            removed |= {ATTEMPT.encode("ascii")}
        if removed:
            fields = without(fields, removed)
        # a field by which only trusted proxies may say who the client is
        self._claim = b""
        claiming = plane.door.trust.header
        if not plane.door.trust.is_usual and claiming.decode("ascii") in head.headers:
            named = claiming + b":"
            lines = fields.splitlines(keepends=True)
            self._claim = b"".join(line for line in lines if line.lower().startswith(named))
            fields = without(fields, {claiming})
        self._before = f"{head.method} {target} HTTP/1.1\r\n".encode("ascii") + fields
        # what an operator removes or sets is theirs, also where we would write it
        self._id = b"" if b"x-request-id" in removed else b"X-Request-Id: "
        after = (b"\r\n" if self._id else b"") + rule.request.added
        if head.length < 0:
            after += b"Transfer-Encoding: chunked\r\n"
        if head.upgrade:
            after += b"Connection: upgrade\r\nUpgrade: " + head.upgrade + b"\r\n"
        self._after = after + b"\r\n"
        # nothing depends on the client or the endpoint but what its connection keeps
        self._is_plain = bool(
            self._identity is None and self._host and self._id and not (prefix or self._claim or rule.request.removed)
        )
        self._ids = (b"" if b"via" in removed else rule.via) + self._id

    def compose(
        self, client: ClientConnection, request_id: bytes, endpoint: Endpoint, now: float, attempt: int
    ) -> bytes:
        """The whole head for the upstream: the client's fields, then ours (RFC 9110 §7.6).

        From the second attempt on it says which one it is.
        """
        deadline = client.out_of_time_at
        if self._is_plain and attempt == 1 and deadline == inf:
            return b"".join((self._before, client.identity(self._host), self._ids, request_id, self._after))
        if self._identity is not None and client.is_trusted:
            identity = extended_identity(client.peer, self._scheme, self._host, self._identity)
        else:
            identity = client.identity(self._host)
        if self.prefix:
            identity = with_prefix(identity, self.prefix)
        if self._claim and client.is_trusted:
            identity += self._claim
        removed = self.rule.request.removed
        if removed:
            identity = without(identity, removed)
        if not self._host and b"host" not in removed:
            identity = f"Host: {endpoint.authority}\r\n".encode("ascii") + identity
        if deadline != inf or attempt > 1:
            ours = b"" if deadline == inf else render_budget(deadline - now, is_grpc=self.budget.is_grpc)
            if attempt > 1:
                ours += b"X-Gateway-Attempt: %d\r\n" % attempt
            identity += without(ours, removed) if removed else ours
        if not self._id:
            request_id = b""
        return b"".join((self._before, identity, self._ids, request_id, self._after))


def _is_repeat(head: RequestHead) -> bool:
    """Whether the caller says that it has tried before: ours and Envoy's word for it, from 1 on; "2" is the second."""
    return head.headers.get(ATTEMPT, "1") not in _FIRST or head.headers.get(_ENVOY_ATTEMPT, "1") not in _FIRST


def plan_request(plane: DataPlane, head: RequestHead) -> RequestPlan:
    """Match the route and judge what only the route can; raises :class:`BadRequest` when no route takes it."""
    path, question, query = head.target.partition("?")
    hit = plane.table.match(head.host, path, head.method, head.headers)
    rule = plane.rules[hit.name]
    target, prefix = head.target, ""
    if rule.rewrite is not None and path != "*":
        target = rule.rewrite.apply(path, hit) + question + query
        prefix = rule.rewrite.stripped(path)
    plan = RequestPlan(plane, head, rule, target, path=path, parameters=hit.parameters, prefix=prefix)
    if head.max_forwards == 0:
        plan.answer = answer_locally(head)
    elif head.rounds and (
        len(head.rounds) > plane.settings.gateway.max_loops or rule.name.encode("ascii") in head.rounds
    ):
        plan.refusal = BadRequest("loop_detected")
    elif head.length > rule.body_limit:
        plan.refusal = BadRequest("body_too_large", f"more than {rule.body_limit} bytes")
    return plan
