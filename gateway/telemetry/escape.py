"""Makes any text safe to be part of one line."""

from __future__ import annotations


def escape(text: str) -> str:
    r"""Text in which everything unprintable is written as ``\n``, ``\x1b`` or ``\u202e``.

    Unprintable is what Unicode calls Other or Separator apart from the space: controls, ESC,
    bidirectional overrides, line separators, lone surrogates. The backslash is doubled, so two
    different texts never look the same.
    """
    if text.isprintable() and "\\" not in text:
        return text
    return "".join([_escaped(character) for character in text])


def _escaped(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if character.isprintable():
        return character
    # Python's own notation: the shortest of \xhh, \uhhhh and \Uhhhhhhhh that fits.
    return ascii(character)[1:-1]


def one_line(text: str, limit: int) -> str:
    """The first ``limit`` characters of a text, escaped, with ``…`` when some were left out."""
    if len(text) > limit:
        return escape(text[:limit]) + "…"
    return escape(text)
