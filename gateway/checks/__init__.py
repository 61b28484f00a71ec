"""Health checks: one question to one server, and what follows from its answers.

The same question serves two askers. A pool asks a process that it has started until it is ready (``ready``); the
control process asks every endpoint again and again whether it is well (``health``). What the question is stands in
``settings``, ``question`` asks it once and says in words what came back, ``pace`` says when to ask again, ``rise_fall``
when an opinion changes.

*Passing.* Where the operator wrote a path, that page must answer 2xx or 3xx, or one of ``statuses``. Where none was
written nothing is known of the service's pages, so any answer below 500, be it a stream, shows that it is there: a 404
of a service without ``/``, a 400 for a name that Django does not serve, a 426 of one that speaks only WebSocket.
``kind = "tcp"`` asks for a connection and sends nothing.

*Pace.* The time between two questions is a tenth of the time that the search has lasted, within bounds: what boots
within a second is seen at once, and what never becomes well hears little of us.
"""
