"""Who serves it: endpoints, their kept-alive connections, and the choice among them.

An upstream is a group of endpoints (:mod:`gateway.upstream.group`). The choice is made when a request is
dispatched, never before: the better of two drawn at random, by requests in flight over weight. An endpoint
(:mod:`gateway.upstream.endpoint`) keeps its idle connections and takes the one used last, so that the others
may grow old and close. An idle connection closes before the server behind it is likely to close it,
because a request that may not be repeated must not meet a closing one.
"""
