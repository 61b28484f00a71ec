"""The words that an operator types: run, check, schema, explain, simulate, drill.

One file per command. A command reads the configuration, says what is wrong with it on standard error
and ends with 2, or does its work. Standard output carries only what was asked for, so that it can be
piped; people and scripts read the same lines.
"""
