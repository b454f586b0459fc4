"""What the service keeps: keys, rates, decisions, jobs; SQLite by default, PostgreSQL by URL."""
