"""Bytes: heads, bodies, connections down and up.

Theory of operation. A head is found in the stream by its empty line, bounded, and judged by aiohttp's C
parsers (:mod:`gateway.http.codec`, the only file that knows them); what it means to a proxy is worked out once
for equal heads (:mod:`gateway.http.heads`, :mod:`gateway.http.recent`). A body is framed by
:mod:`gateway.http.framing`, which knows the byte at which a message ends. A client's connection
(:mod:`gateway.http.downstream`) carries one request at a time, an upstream's (:mod:`gateway.http.upstream`)
likewise; they know nothing of each other, only of the exchange between them. Backpressure is the
transports' own: whoever cannot be written to makes the other side stop being read.

Deadlines are instants on one wheel (:mod:`gateway.core.deadlines`); the phase of a connection says what it
means when one comes. Refusals are rendered by :mod:`gateway.http.problem`, and echo nothing.

Not here: HTTP/2 and HTTP/3, compression, caching. Trailers are dropped in both directions.
"""
