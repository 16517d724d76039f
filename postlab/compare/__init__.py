"""Two outcomes compared: what differs from run to run becomes placeholders, then line by line.

``placeholders`` says what is replaced, ``labels`` which queue id is which, ``sections`` compares.
"""

from postlab.compare.sections import SECTIONS, Comparison, Section, compare

__all__ = ["SECTIONS", "Comparison", "Section", "compare"]
