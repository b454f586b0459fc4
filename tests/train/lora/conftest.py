"""One tiny LLaVA and one drawn set for all tests of LoRA."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import vlm_zoo
from tests.train.lora import drawn
from vedette.train.data import TrainingSet


@pytest.fixture(scope="session")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vlm_zoo.llava(tmp_path_factory.mktemp("lora") / "llava")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn.pictures(tmp_path_factory.mktemp("lora") / "pictures")


@pytest.fixture(scope="session")
def data(pictures: Path) -> TrainingSet:
    return drawn.training_set(pictures)
