"""KEDA's external scaler: Kubernetes' autoscaler asks us how much is wanted, over gRPC.

Theory of operation. KEDA makes a HorizontalPodAutoscaler from a ScaledObject and stands between it and us. It calls
five methods (``externalscaler.proto``): what to aim at (GetMetricSpec), how much there is (GetMetrics), whether anybody
wants anything (IsActive, which decides between none and one replica), and two streams that push the answers of the
first and the last, so that nobody waits for the next poll.

- *One sum, not two metrics.* Of several metrics an autoscaler takes the highest. Demand and backlog want replicas
  beside each other, so the default metric ``wanted_slots`` is their sum (:mod:`~gateway.keda.answers`).
- *The target* is 0.9·K, nine tenths of the slots of a replica, because an autoscaler ignores what is within a tenth.
  K is learned and wanders; what is announced follows it only when it has moved by more than a tenth
  (:mod:`~gateway.keda.steady`), and both ways of asking give the same answer, as the contract demands.
- *Missing never reads as zero.* Without valid signals GetMetrics answers UNAVAILABLE, upon which KEDA leaves the number
  of replicas alone or takes its ``fallback``; IsActive stays true, because false would take the last replica away.
- *Integers* are there for versions of KEDA that know no floats, rounded to the side of more replicas.

What it does not do: decide. Whoever asks for ``desired_replicas`` gets what our own loop decided.
"""
