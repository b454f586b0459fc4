"""Hash lists: known pictures, by their exact hash or by their look, found before any model runs.

``pdq`` hashes a picture by its look, ``matching`` finds hashes among many, ``forms`` reads lists as
others give them, ``files`` stores them, ``lists`` keeps a folder of them loaded and asks them all.
"""
