"""The control process: everything that must answer while the data planes are too busy to.

Doors. ``listeners`` binds every address once for each worker (SO_REUSEPORT; the kernel spreads connections
over the sockets) and the control process keeps all of them open. So when a worker dies, its socket and the
connections that wait in it stay; the next process inherits the socket and serves them. A second gateway
on the same port is refused, though SO_REUSEPORT alone would let it in.

Every worker inherits the sockets of all. One that has not reported for a second, because it hangs, is stopped, or
cannot start, does not answer: the others get the order to accept on its sockets too (``Cover``), until it reports
again. Both may accept on one socket, so a mistake costs nothing. Rejected: one socket for all, where who wakes first
takes what is there; of 64 connections that came at once to two idle workers one got 31, 28, 26 with sockets of their
own, and 17, 13, 2 with one socket.

Workers. ``seat`` is the place of one worker: its sockets, its present process, and the policy of starting the next
one. ``worker`` is what runs in that process. Between them goes a ``channel`` of ``messages``; when either end dies the
other sees the channel end, which is the whole protocol of failure: a worker without its control process drains briefly
and goes, so no orphan keeps the port. A worker that says nothing for 30 seconds is killed. Fixed limits and queues,
which are configured for the whole gateway, ``sharing`` deals out among them. What keys owe to their quotas stands in
memory that all workers map (:mod:`gateway.core.ledger`); it belongs to the control process.

Reading. Each worker sends what it has counted since its start every quarter of a second, unless the
channel is still full. ``supervision`` keeps the sum, ``gathering`` and ``status`` read it out, ``admin``
answers. Nothing that is asked of the admin address waits for a worker.

Vacancy. While no process of a pool serves, or no replica of a Deployment that is scaled from here, workers hold
requests; ``vacancies`` tells them when the first one is expected, and asks for it where none was wanted.

End. The first SIGINT, SIGTERM or SIGQUIT makes readiness fail, after ``shutdown_delay`` closes the doors, gives the
workers ``drain_timeout`` for what is in flight, then ends the pools' processes, which may be serving it; exit status
0. A process that closes a listening socket accepts first what waits in its queue, so the last one to close loses
nobody. The second signal ends everything at once; exit status 130. ``dispositions`` says what the other signals do.
"""
