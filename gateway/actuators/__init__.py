"""Actuators: what carries decisions out, and what it knows of the replicas that there are.

Every kind has the same face (:mod:`~gateway.actuators.actuator`). It never decides: it brings about the number that
a decision says, tells how far that has come, and says when it cannot. An actuator that does not know how many replicas
there are says so (``View.at`` stays behind), and then nothing is scaled in.
"""
