"""What came of a run, as plain typed values, and how it is drawn.

``outcome`` is the document that a scenario gives; ``fates`` reads the mail log of it; ``terminal``
draws both for people.  This package knows neither the mail system nor the world.
"""
