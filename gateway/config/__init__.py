"""The configuration file: TOML in, settings out, with every problem said at once.

The way of a file
    ``document`` reads TOML, replaces environment variables (``variables``) and remembers where every key stands;
    what is no TOML gets advice from ``syntax``. ``walk`` compares the document with the
    settings of the rooms: unknown and missing keys (``elsewhere`` knows where they belong), types, ranges, units and
    formats, each problem with its line, and leaves out what is broken, so that ``meaning`` can check the rest across
    keys in the same pass: upstreams that exist, routes that tie, certificates that fit their keys, programs that
    exist. ``bounds`` moves defaults to the bounds beside them. ``load`` does all of it.

One source
    A key's type, default, range, format and one-line explanation stand at the key, in the settings of the
    room that acts on it. The check, the JSON Schema (``schema``) and config/reference.toml (``reference``)
    are made from these, so they cannot disagree.

Strictness
    An unknown key is an error with the nearest valid key. Durations and sizes need a unit. Keys of
    capabilities that this version does not act on (``planned``) are accepted with one warning each, so that
    nobody believes in a protection that is not there.

What it does not do
    No includes, no expressions, and no environment variables in keys. It opens no socket and resolves no name; the
    only files that it reads besides the configuration are the certificates.
"""
