"""The request's path, top to bottom.

:mod:`gateway.proxy.exchange` is one request from its head to its last byte: an object whose parts are
:mod:`~gateway.proxy.entrance`, :mod:`~gateway.proxy.attempts`, the relay and :mod:`~gateway.proxy.ending`.
:mod:`gateway.proxy.plane` is what all requests of one worker share, :mod:`gateway.proxy.rule` is a route compiled.
Nothing here waits: an exchange is a set of callbacks between a client's connection and an upstream's, and the only
task it ever makes is the one that opens a connection.

Beside the path: :mod:`gateway.proxy.assembly` makes gates, groups and rules from settings;
:mod:`gateway.proxy.capacity` and :mod:`gateway.proxy.parts` obey orders about how much may be in flight;
:mod:`gateway.proxy.protection` acts on the worker's own strain; :mod:`gateway.proxy.present` reads out what is.
"""
