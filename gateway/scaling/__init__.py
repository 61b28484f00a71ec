"""Scaling: from signals to decisions, each with its votes, its guards and its expected effect (pure).

Theory of operation. :class:`~gateway.scaling.scaler.Scaler` lives one step a tick for one target:

1. *Votes* (:mod:`gateway.scaling.analyzers`). Demand, backlog, trend, season and SLO burn each want a number of
   replicas; the highest wins. Dependency, cost and the gateway's own strain set ceilings, which the guards apply.
2. *Hysteresis* (:mod:`gateway.scaling.hysteresis`). Out at once; in only to what was enough for a hold, which reversals
   lengthen. The number of reversals is bounded whatever the load does.
3. *Verifier* (:mod:`gateway.scaling.verifier`). A decision whose expected effect is missing is undone; two of them
   within half an hour freeze the target.
4. *Guards* (:mod:`gateway.scaling.guards`), in fixed order, each of which may only tame the plan or put somebody else's
   word above it. Old or missing numbers never scale in.
5. A :class:`~gateway.scaling.decision.Decision`, or nothing. In ``shadow`` mode it moves a pool that exists in numbers
   only (:mod:`gateway.scaling.shadow`).

The same object runs in the control process and under virtual time. What is not here: carrying decisions out, writing
the ledger to a disk, clocks.
"""
