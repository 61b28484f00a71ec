"""Scaling policies under virtual time: ours and those of others, through the same days.

A trace (:mod:`~gateway.simulate.scaling.traces`, read by :mod:`~gateway.simulate.scaling.reader`) or a made-up day
(:mod:`~gateway.simulate.scaling.profiles`) and a service model (:mod:`~gateway.simulate.scaling.work`) make a load,
second by second. A pool lives through it under a policy: a fluid (:mod:`~gateway.simulate.scaling.world`), or request
by request where services are long (:mod:`~gateway.simulate.scaling.requests`).
:mod:`~gateway.simulate.scaling.oracle` says what would have been enough, and
:mod:`~gateway.simulate.scaling.measures` what it was worth. :class:`~gateway.simulate.scaling.story.Story` ties these
together; a :class:`~gateway.simulate.scaling.study.Study` has several policies in one story,
:mod:`~gateway.simulate.scaling.comparison` says what differs between two settings, and
:mod:`~gateway.simulate.scaling.report` makes a page of it.

Our policy is the meter and the scaler of the gateway themselves; the others are written after their documents.
"""
