"""The benchmark: how far a classifier can be trusted, and how far each number about it can.

A run scores a data set once with a classifier (:mod:`vedette.bench.scoring`), gives the
predictions to tasks (:mod:`vedette.bench.tasks`), and writes one result for each task
(:mod:`vedette.bench.result`). Reports are made of results only (:mod:`vedette.bench.report`).
"""
