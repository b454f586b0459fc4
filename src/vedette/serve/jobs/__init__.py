"""Jobs: batches of images that nobody waits for, done in the background by all replicas together.

A job's images are rows of the shared database. Runners lease some at a time, so that a runner that
dies takes nothing with it: its leases expire and another one goes on. An image's result is stored
once, whoever scans it.
"""
