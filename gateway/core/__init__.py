"""Words that every room shares: clock, units, reason words, request ids, small statistics.

Nothing here knows HTTP, sockets or configuration files; everything here is usable from a
simulation under virtual time.
"""
