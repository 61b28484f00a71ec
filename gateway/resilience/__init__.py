"""Resilience: what if the upstream is bad.

Theory of operation. Four questions, each with an object of its own that is told what happened and answers at once; none
of them waits, opens anything, knows the time or throws dice of its own, so the same objects run under virtual time.

*Is it asked at all?* A breaker (:mod:`gateway.resilience.breaker`) stands before an upstream and before each of its
endpoints, and while something fails before a route and its pages (:mod:`gateway.resilience.route`,
:mod:`gateway.resilience.page`). It opens when too many calls of the last seconds failed, or hang, or when it is asked
to leave alone what it watches; stays open for a growing, jittered time; tries a few calls; then lets traffic in bit by
bit. That failures are held against the smallest thing that explains them is in :mod:`gateway.resilience.parts`, what
counts as one in :mod:`gateway.resilience.failures`. The rule is
:mod:`gateway.resilience.trip` on a :mod:`gateway.resilience.window`, what ends its sleep is in
:mod:`gateway.resilience.waking`, the states are a table in :mod:`gateway.resilience.transitions`, the class is
aiobreaker's (:mod:`gateway.resilience.library`).

*Is it asked again?* A retry (:mod:`gateway.resilience.retry`) is for what may be repeated, within the deadline,
paid from one budget for the upstream (:mod:`gateway.resilience.budget`), which it shares with hedges: a second
attempt while the first is late (:mod:`gateway.resilience.hedge`).

*Which of its endpoints is worse than its peers?* What is thought of each is its standing
(:mod:`gateway.resilience.standing`); a bad one costs more to choose, and one that is far worse is left out for a while
(:mod:`gateway.resilience.outlier`).

*Whose fault was it?* That is asked where the answer is known, on the request's path, and comes here as an
:class:`gateway.core.outcome.Outcome`. A client that leaves is nobody's fault: such calls free what they held and teach
nothing.

What is not here: active checks, who is chosen among endpoints, and timeouts.
"""
