"""The other side of every test: a strict origin, a raw client, and the gateway between them.

Nothing here uses the parsers that the gateway uses. ``grammar`` is RFC 9112 read by hand, as narrowly as
it can be read: what a careful origin might misunderstand counts as dirty.
"""
