"""The request's path, top to bottom.

:mod:`gateway.proxy.exchange` is one request from its head to its last byte, :mod:`gateway.proxy.plane` is
what all requests of one worker share, :mod:`gateway.proxy.rule` is a route compiled. Nothing here waits:
an exchange is a set of callbacks between a client's connection and an upstream's, and the only task it
ever makes is the one that opens a connection.
"""
