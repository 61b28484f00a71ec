"""Server processes that the gateway runs itself, for the service that lives on the same machine.

A pool keeps ``min`` processes of one command alive. Each gets a free port of its own, is asked for its
ready path until it answers, and only then gets traffic; the endpoints of an upstream with a pool are
its ready processes, pushed to the data planes at every change. A process that ends is replaced, first soon,
then with growing, jittered delays (``backoff``). The states and their order are a table (``states``).

Between the gateway and each process stands a ``warden``, a tiny Python process without our packages. It
leads the process group, and it asks the kernel to be told when the gateway dies, however that happens,
and then kills the whole group: ``uv run …``, ``npm start`` or ``sh -c`` leave no orphan that keeps a port.
It costs 8 MB and 20 ms per process. Rejected: PR_SET_PDEATHSIG on the command alone, which spares its children;
``preexec_fn``, which runs Python between fork and exec of a process with threads.

At the end a process first leaves the routing, then its group gets SIGTERM and ``drain_timeout`` to finish,
then SIGKILL.

What a pool does not do yet: follow demand, recycle, warm up, roll over to a new command.
"""
