"""Server processes that the gateway runs itself, for the service that lives on the same machine.

A pool keeps as many processes of one command serving as somebody last asked for (``ProcessPool.resize``),
between ``min`` and ``max``, and ``standby`` more that are warm and wait. The endpoints of an upstream with a
pool are its ready processes, pushed to the data planes at every change.

*Places.* A place (``place``) is one process, the next one when that dies, and so on; its states are a table
(``states``). All decisions are made in one function of numbers (``moves``): whenever a place or a wish has
changed the pool asks it what to do, does that, and asks again until nothing is left. Nothing waits in between,
so a promotion and the departure that it allows reach the data planes as one order.

*In.* A process boots when it is its turn (``starts``: boots take the processor from those that serve), answers
its ready path a few times in a row, then its warm-up requests (``readiness``), then it serves or stands by. It
is told where to listen by a port, by a descriptor that listens already, or by the path of a unix socket
(``door``).

*Out.* A process that goes leaves the routing first. A data plane says in its snapshots which order about
endpoints it has obeyed and what is still under way at endpoints that left; it closes its idle connections to
them itself. When every worker has said that nothing is left (``traffic``), or ``drain_timeout`` is over, the
group gets SIGTERM, then as long again, then SIGKILL. Who goes is chosen by what is missed least (``victims``).

*Replacing* is one thing, whether a process is recycled by age or answers (``recycling``), restarted by an
operator or rolled to a new command (``renewal``): one at a time, its successor serves before it leaves. A
successor that dies twice before it could serve ends that: a roll is taken back, anything else is given up, and
the old ones serve on. Meanwhile there is one process more than was wanted, also at ``max``.

*Dying.* What ends is started again, first soon, then with growing, jittered delays; after five quick deaths in
a row its place is in quarantine for 15 to 30 s (``backoff``). While one is, nothing grows and nothing is
exchanged. Memory bounds growth too (``memory``); it never ends anything.

Between the gateway and each process stands a ``warden``, a tiny Python process without our packages. It leads the
process group, and it asks the kernel for a signal when the gateway dies, however that happens, and then kills
everything below it, whatever group or session that is in by now: ``uv run …``, ``npm start``, ``sh -c`` or ``setsid``
leave no orphan that keeps a port. It costs 8 MB and 20 ms per process. Rejected: PR_SET_PDEATHSIG on the command
alone, which spares its children; ``preexec_fn``, which runs Python between fork and exec of a process with threads.

Rejected: one listening socket for all processes, as pre-forking servers have: then nobody could be drained,
because the kernel chooses who gets a connection; and a dead process's socket kept open, because its callers
would wait for its successor.

What a pool does not do: decide how many there should be, share processes among machines, or start without the
gateway.
"""
