"""Signals: from counters to numbers that say how much capacity is wanted (pure).

Theory of operation. The request path only adds: sums of arrivals, answers and refusals, and time integrals of what is
queued and in flight. A :class:`~gateway.signals.reading.Reading` is one look at these sums; any two looks give the
true mean between them (:mod:`gateway.signals.history`). Once a tick :class:`~gateway.signals.meter.Meter` turns the
history into :class:`~gateway.signals.signals.Signals`.

The number that matters is ``demand_slots``. Per-replica gauges saturate when they are needed most, so it counts what
was offered: R = λS by Little's law, λ with the queued and the shed in it. Beside R stand what chance needs
(:mod:`gateway.signals.staffing`: Erlang C, Halfin–Whitt) and what the load may grow by before a new replica can serve
(:mod:`gateway.signals.growth`), added as independent deviations are: R + max(√(spare² + growth²), 0.25·R). It has no
upper bound. A backlog is a stock and not a flow, so it is a number of its own, ``backlog_slots``.

K, the slots of a replica, is learned while the target is healthy and kept while it is not
(:mod:`gateway.signals.slots`).

Missing data never reads as zero: without a sound reading the last signals stand, with their age, and after 30 s with
``signal_valid = 0``. No signal is ever NaN or infinite.

What is not here: forecasts and decisions (:mod:`gateway.scaling`), Prometheus, clocks.
"""
