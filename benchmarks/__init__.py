"""Benchmarks: this gateway and its peers side by side, in one run, on one machine.

A figure alone says little, because machines differ and neighbours make noise. So everything here is
measured in interleaved rounds (every proxy once, then every proxy again …), reported as the median of
the rounds, and judged as a ratio between two proxies of the same run.

* ``peers`` – how each proxy is configured and started, all with the same work to do
* ``processes`` – starting, pinning, weighing and stopping what is measured
* ``origin`` – the servers behind the proxies: nginx for answers, a sink for uploads
* ``load`` – requests and bytes per second, with wrk
* ``latency`` – added latency at a fixed rate, free of coordinated omission
* ``idle`` – memory per idle keep-alive connection
* ``workers`` – what a second worker process buys
* ``table`` – ratios, targets and how they are printed
* ``rounds`` – what the commands share: options, who takes part, what is read off a trial, the file
* ``generator``, ``answers`` – clients in an open loop as a process of its own, and what they get
* ``proxy`` – the command: ``python -m benchmarks.proxy``
* ``overload`` – another command, ``python -m benchmarks.overload``: goodput when the service gets more than it can
  do. Its parts are ``overload_scenarios`` (what happens), ``overload_trial`` (one run of it), ``overload_service``,
  ``overload_load`` and ``overload_peers`` (who takes part), ``overload_figures`` and ``overload_plot`` (what comes out)
* ``faults`` – ``python -m benchmarks.faults``: what clients see of endpoints that fail. Its parts are named likewise;
  ``faults_wire`` stands between proxy and endpoints and spoils what passes
"""
