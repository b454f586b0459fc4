"""One replica of a service without its endpoints: ``python -m ... DATABASE FOLDER SEEN SECONDS``.

It works on jobs until it is killed.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from tests.serve.jobs.made import Seeing, services_with, store_of
from vedette.serve.database.store import open_database
from vedette.serve.engine import Engine
from vedette.serve.jobs.runner import JobRunner
from vedette.settings import Settings

if __name__ == "__main__":
    place, folder, seen, seconds = sys.argv[1:]
    store = store_of(open_database(place), Path(folder))
    engine = Engine((Seeing(Path(seen), float(seconds)),), Settings(), 64)
    runner = JobRunner(services_with(store, engine=engine), store, lease_s=1.5)
    print("ready", flush=True)
    threading.Event().wait()
