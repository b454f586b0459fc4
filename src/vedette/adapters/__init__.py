"""Vedette in the place of what other tools call: the same signatures over a Scanner or a Client.

None of these tools is needed to import anything here, and none of them is a dependency.
"""
