"""Plays folders of Postfix's own test data: ``python -m tests.vectors DIR [AREA…] [--json]``.

A folder holds ``AREA/TEST/cmd`` (what to run), ``expected`` (what must come out) and the input.
Nothing of ``cmd`` is run by a shell: :mod:`tests.vectors.shell` interprets it, on files in memory,
with the programs of :mod:`tests.vectors.drivers`.
"""
