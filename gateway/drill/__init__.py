"""Trying a running gateway: a load that climbs, what becomes of it, and whether the service survived.

Theory of operation. A load has phases (``shape``): calm, a climb, a time at the top, and calm again. Its arrivals are
a Poisson process from a seed, and each is sent when it is due whether or not those before were answered (an open
loop), so a gateway that stalls does not slow its own test down; a latency counts from the instant at which a request
was due, not from when it could be sent (no coordinated omission). ``client`` sends and reads answers, a few thousand
a second; ``tally`` remembers what became of each; ``watch`` asks the admin address once a second for signals and
decisions; ``verdict`` judges, and says why in words; ``screen`` shows all of it while it happens. ``gateway_process``
starts a gateway of our own, which ends with us however we end.

A request ends as one of four: served; refused, by a 429 or 503 that says its reason as a problem (RFC 9457);
misdirected, by another 4xx; failed, which is everything else: 5xx, broken connections, no answer within the patience.
Refusals are what a gateway is for. Failures are what it is there to prevent.

What it does not do: find the capacity, send bodies, or speak HTTP/2. It uses one core at most, and says when it was
late.
"""
