"""The same policies under virtual time.

What it is for
    A limit, a queue or a whole gate lives through a story (arrivals, service, clients) in virtual time,
    with no socket and no sleep, and the book of the story says what it was worth: goodput, the latency
    of the served, who was shed, how the limit went. The policies are the ones of production, not models
    of them; only the world around them is made up.

How it fits together
    ``clock`` owns time; ``arrivals`` brings requests; a gate (any object with ``arrive``, ``finish``,
    ``leave``, ``tick``) decides; ``service`` does the work; ``client`` says how long people wait and
    whether they come back; ``world`` wires these and keeps the book; ``oracle`` finds what the best fixed
    limit would have done in the same story.

One generator per story
    Everything random comes from generators that are handed in, so one seed tells one story, whatever
    policy lives through it up to its first decision.

What it does not do
    No network, no parsing, no cost of our own: a request costs nothing but the upstream's time and a
    constant gap on the wire. What those cost is measured by the benchmarks with real sockets.
"""
