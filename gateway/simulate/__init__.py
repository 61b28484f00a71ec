"""The same policies under virtual time.

What it is for
    A limit, a queue or a whole gate lives through a story (arrivals, service, clients) in virtual time,
    with no socket and no sleep, and the book of the story says what it was worth: goodput, the latency
    of the served, who was shed, how the limit went. Gate, queue and limit are the objects that the gateway
    uses, not models of them; only the world around them is made up.

How it fits together
    ``clock`` owns time; ``arrivals`` brings requests and ``crowd`` says whose they are; ``request`` is the ticket
    that passes :class:`gateway.admission.gate.Gate` or does not; ``service`` does the work; ``client`` says how
    long people wait and whether they come back; ``world`` wires these and ``book`` is what they write down;
    ``scenario`` is a story that can be told again; ``oracle`` knows what the best fixed limit would have
    done in it, and what would have been fair.

One generator per story
    Everything random comes from generators that are handed in, so one seed tells one story, whatever
    policy lives through it up to its first decision.

What it does not do
    No network, no parsing, no cost of our own: a request costs nothing but the upstream's time and a
    constant gap on the wire. What those cost is measured by the benchmarks with real sockets.
"""
