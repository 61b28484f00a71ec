"""Signals and decisions in a running gateway: the shell around :mod:`gateway.signals` and :mod:`gateway.scaling`.

Theory of operation. Workers count (:mod:`gateway.telemetry.load`) and send their sums four times a second. Once a
second, in small slices spread over it, ``feed`` joins them into one reading for each upstream and its ``target``
makes signals of it; every fifth time the target's scaler takes a step. A decision becomes a ``record``, a line in the
``ledger``, and, in the modes live and pinned, work for the ``reconciler``, which asks the actuator in a task of its
own: no tick waits for one. A scale-in is first a ``trial``: for one window the workers admit no more than the remaining
replicas could serve; if a queue builds the limit is given back at once and the replicas stay.

Level-triggered. One ``picture`` of each target has what is wanted, what was asked for and what is seen, with the age of
each. Decisions start from what is seen, and from what an actuator has taken only for as long as that may take to be
seen. What fails or is not realised is asked for again, and given up with a reason; what waits is void as soon as the
mode, the owner, the pin or the seen number is another; a number that others have set is the new start and stays for a
hold. After a silence everything that is known of the load begins anew.

Back into admission (``admission`` tells the workers). ``coming``: replicas on their way, and when the first will
serve, so that who can wait for it is held. ``ramp``: how many times what it was a target has become, so that a limit
that was found follows. Each is told at a look; no worker waits for either.

Old data. A reading is as old as the oldest of: the snapshot of any living worker, the actuator's view of its
replicas. After three ticks nothing is scaled in, after 30 s the signals are invalid. With no living worker there is
no reading at all.

Restart. The ``past`` is read from the ledger: the number of the last decision, a freeze, a pin, and how many replicas
were carried out last or set by others, with which a pool begins. The state of every target is written again after each
MiB, so that it outlives any number of lines. Nothing is scaled in before a whole hold was seen, whatever the past
says. What is known of days and weeks lies beside the ledger (``seasons``).

Everybody has signals. Decisions are made where ``[upstreams.X.scaling]`` says so, and for a pool with max > min
(``inforce``). Fixed endpoints count as replicas while some worker asks them.

What it is told and tells: ``orders`` from people with the token; ``published`` and ``stream`` for whoever reads
signals.
"""
