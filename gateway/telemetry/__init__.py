"""The only Prometheus and the only log format.

Counting. A data plane counts with plain integers (``counters``): an increment costs 0.07 µs where a
Prometheus child costs 0.5 µs. Several times a second it sends everything it has counted since its
start, as one ``snapshot``, to the control process. There ``totals`` adds the workers up: what a dead
worker had counted last is kept, so no counter ever goes backwards, and its gauges vanish with it.
What a worker counted after its last snapshot is lost when it is killed; nothing is counted twice.
``collector`` turns the sum into metrics when somebody scrapes. What signals are made of is counted
beside it, with time integrals (``load``). Label values come from the configuration, from the table of
reason words, from the methods of RFC 9110 or from status codes, so no client can make a series.

Logging. ``logs`` makes structlog loggers whose every event is one line on standard error, JSON or for
people; ``access`` writes the lines of requests without structlog, because they are on the path. Both end
in ``lines``, a bounded buffer, so that a slow reader of standard error costs lines, never latency. What a
stranger sent is never trusted on its way there: ``redact`` takes secrets out, ``escape`` takes away
everything that could start a new line, move a cursor or turn text around, and ``flood`` bounds the lines
per second that one reason may cause.

What this room does not do: traces, log files and their rotation, metrics of the upstreams' own.
"""
