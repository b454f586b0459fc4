"""OpenVINO's first use from several threads at once: once made a scan wait for ever."""

from __future__ import annotations

import subprocess
import sys

START_TOGETHER = """
import os, sys, threading
from vedette.backends.openvino import cpu_has_bf16

cpu_has_bf16()
import openvino

sys.setswitchinterval(1e-6)
barrier = threading.Barrier(8)

def first_use():
    barrier.wait()
    openvino.Type.u8.to_dtype()

threads = [threading.Thread(target=first_use, daemon=True) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(20)
os._exit(any(thread.is_alive() for thread in threads))
"""


def test_threads_may_start_inferring_together() -> None:
    done = subprocess.run([sys.executable, "-c", START_TOGETHER], check=False, timeout=120)

    assert done.returncode == 0, "the threads wait for each other"
