"""Reports on results: a page, Markdown, lines of a terminal, a leaderboard.

All are made of one :class:`~vedette.bench.report.document.Document`.
"""
