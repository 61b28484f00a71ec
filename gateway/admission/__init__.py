"""Admission: may it enter, and when.

Theory of operation. Before each upstream stands a gate (:mod:`gateway.admission.gate`): a limit on what is in
flight, and a queue for what is not admitted at once (:mod:`gateway.admission.queue`). The limit finds itself from
what finished requests tell it (:class:`gateway.admission.sample.Sample`). Everything here is arithmetic on numbers
and ``now``: no clock, no sockets, no dice of its own, so the same objects run in the gateway and under
virtual time.
"""
