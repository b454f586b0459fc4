"""``vedette models`` as a user runs it, with models of a third party and a hub on the loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub.conftest import SETTINGS
from tests.hub.server import COMMIT, Hub, serving, sha256

REPO = "owner/model"
FILES = {"config.json": b"{}", "model.safetensors": b"weights" * 1000}
BACKBONE = {"tower.onnx": b"tower"}

PACKAGE = f'''
from dataclasses import replace
from vedette.models.base import Checkpoint, ModelCard, ModelEntry, WeightsFile
from vedette.models.dummy import Dummy
from vedette.resize import Fit
from vedette.taxonomy import Category

def build(options):
    raise RuntimeError("not in these tests")

FREE = ModelCard(
    id="free-model", revision="main", summary="anyone may use it", licence="MIT", terms="none",
    trained_on="pictures of doors", source="a test", sha256=None,
    labels={{"door": (Category.SPAM,), "wall": ()}},
    fit=Fit(8, "stretch"), parameters=1234, embedding=16, reference="a drawing",
    weights=Checkpoint("{REPO}", "main", (
        WeightsFile("config.json"),
        WeightsFile("model.safetensors", "{sha256(FILES["model.safetensors"])}"),
    )),
)
TOWER = replace(
    FREE, id="tower", labels={{}}, summary="a backbone", commercial=False, terms="no selling",
    weights=Checkpoint("owner/tower", "main", (WeightsFile("tower.onnx"),)), embedding=None,
)
HEAD = replace(FREE, id="head", summary="a head over tower", weights=None, needs=(TOWER,))
free = ModelEntry("free-model", FREE, build)
head = ModelEntry("head", HEAD, build)
'''


class Place:
    """A folder, a hub, and an environment in which to run the program."""

    def __init__(self, folder: Path, hub: Hub) -> None:
        self.folder = folder
        self.hub = hub
        self.store = folder / "data" / "vedette" / "models"
        inherited = {name: value for name, value in os.environ.items() if name not in SETTINGS}
        paths = [str(folder / "package"), inherited.get("PYTHONPATH", "")]
        self.environ = {
            **inherited,
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "XDG_DATA_HOME": str(folder / "data"),
            "LOCALAPPDATA": str(folder / "data"),
            "HF_HOME": str(folder / "hf"),
            "HF_ENDPOINT": hub.url,
        }

    def __call__(self, *args: str, **environ: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "vedette", "models", *args],
            cwd=self.folder,
            capture_output=True,
            encoding="utf-8",
            env={**self.environ, **environ},
            timeout=120,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert "defect" not in done.stderr, done.stderr
        return done

    def weights(self) -> Path:
        return self.store / REPO / "model.safetensors"


@pytest.fixture
def models(tmp_path: Path) -> Iterator[Place]:
    package = tmp_path / "package"
    info = package / "doors-1.dist-info"
    info.mkdir(parents=True)
    package.joinpath("doors.py").write_text(PACKAGE)
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: doors\nVersion: 1\n")
    points = "[vedette.models]\nfree-model = doors:free\nhead = doors:head\n"
    info.joinpath("entry_points.txt").write_text(points)
    with serving(Hub()) as hub:
        hub.publish(REPO, COMMIT, dict(FILES))
        hub.publish("owner/tower", COMMIT, dict(BACKBONE))
        yield Place(tmp_path, hub)


def line_of(name: str, listed: str) -> list[str]:
    (line,) = [line for line in listed.splitlines() if line.split()[0] == name]
    return line.split()


def test_list(models: Place) -> None:
    listed = models("list").stdout

    assert " ".join(line_of("free-model", listed)[1:]) == "to pull commercial anyone may use it"
    assert line_of("head", listed)[1:4] == ["to", "pull", "non-commercial"]
    assert line_of("dummy", listed)[1:3] == ["none", "commercial"]
    assert line_of("nudenet", listed)[1:3] == ["packaged", "commercial"]
    assert listed.splitlines()[-1].split()[1:3] == ["-", "-"], "forms of names come last"


def test_list_of_what_admits_commercial_use(models: Place) -> None:
    listed = models("list", "--commercial").stdout

    assert "free-model" in listed
    assert "non-commercial" not in listed
    assert " -  " not in listed


def test_show(models: Place) -> None:
    shown = models("show", "free-model").stdout

    for fact in (
        *("MIT", "pictures of doors", "1,234", "16 dimensions", "a drawing", REPO, "config.json"),
        *(sha256(FILES["model.safetensors"]), "pinned by the first pull", "not here", "Spam"),
    ):
        assert fact in shown
    assert "commercial  yes" in shown
    assert models("pull", "free-model").returncode == 0
    assert f"folder     {models.store / REPO}" in models("show", "free-model").stdout


def test_show_what_a_model_needs(models: Place) -> None:
    shown = models("show", "head").stdout

    assert "commercial  no" in shown
    assert "runs on     tower" in shown
    assert "weights of tower" in shown
    assert "no selling" in models("show", "tower").stdout
    assert "AGPL-3.0" in models("show", "nudenet").stdout


def test_pull(models: Place) -> None:
    done = models("pull", "free-model")

    assert done.returncode == 0, done.stderr
    assert done.stdout == f"free-model\t{models.store / REPO}\n"
    for fact in ("MIT", "pictures of doors", "7,002 bytes in 2 files"):
        assert fact in done.stderr
    assert models.weights().read_bytes() == FILES["model.safetensors"]
    assert line_of("free-model", models("list").stdout)[1] == "here"
    again = models("pull", "free-model")
    assert (again.returncode, again.stdout, again.stderr) == (0, done.stdout, "")


def test_pull_from_a_mirror(models: Place) -> None:
    done = models(
        "pull", "free-model", VEDETTE_MODELS=models.hub.url, HF_ENDPOINT="https://x.invalid"
    )

    assert done.returncode == 0, done.stderr
    assert models.weights().exists()


def test_pull_to_a_folder_of_ones_own(models: Place) -> None:
    done = models("pull", "free-model", VEDETTE_MODELS="mine")

    assert done.returncode == 0, done.stderr
    assert models.folder.joinpath("mine", REPO, "config.json").exists()


def test_pull_of_what_is_needed_asks_for_its_terms(models: Place) -> None:
    refused = models("pull", "head")
    assert refused.returncode == 2
    assert "[terms_not_accepted]" in refused.stderr
    assert "no selling" in refused.stderr
    assert not models.hub.requests

    done = models("pull", "head", "--accept-terms")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"tower\t{models.store / 'owner' / 'tower'}\n"
    lock = json.loads((models.store / "vedette-lock.json").read_text())
    assert len(lock["repos"]["owner/tower"]["accepted"]) == 1
    assert models("pull", "tower").returncode == 0


def test_commercial_settings_refuse(models: Place) -> None:
    models.folder.joinpath("vedette.toml").write_text("commercial = true\n")

    for args, environ in (
        (["--config", "vedette.toml"], {}),
        ([], {"VEDETTE_CONFIG": "vedette.toml"}),
    ):
        done = models("pull", "head", "--accept-terms", *args, **environ)
        assert done.returncode == 2
        assert "[terms_refused]" in done.stderr
        assert "list --commercial" in done.stderr
    assert not models.hub.requests
    assert models("pull", "free-model", "--config", "vedette.toml").returncode == 0


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["free-modle"], "did you mean 'free-model'?"),
        (["free-model", "nothing-like-it"], "unknown_name"),
        (["free-model", "--config", "gone.toml"], "cannot read settings"),
    ],
)
def test_pull_that_cannot_begin(models: Place, args: list[str], says: str) -> None:
    done = models("pull", *args)

    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert not models.hub.requests


def test_pull_offline(models: Place) -> None:
    done = models("pull", "free-model", HF_HUB_OFFLINE="1")

    assert done.returncode == 2
    assert "[pull_failed]" in done.stderr
    assert not models.hub.requests


def test_pull_of_wrong_bytes(models: Place) -> None:
    models.hub.served["model.safetensors"] = b"x" * len(FILES["model.safetensors"])
    done = models("pull", "free-model")

    assert done.returncode == 2
    assert "[weights_altered]" in done.stderr
    assert done.stdout == ""
    assert not models.weights().exists()


def test_pull_of_what_has_nothing_to_pull(models: Place) -> None:
    done = models("pull", "dummy", "nudenet")

    assert done.returncode == 0
    assert "nothing to pull" in done.stderr
    assert "vedette[nudenet]" in done.stderr


def test_verify(models: Place) -> None:
    models("pull", "free-model")
    done = models("verify")

    folder = models.store / REPO
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        f"free-model\tok\t{folder / 'config.json'}",
        f"free-model\tok\t{folder / 'model.safetensors'}",
        f"free-model\trevision\t{COMMIT[:12]}",
    ]
    models.weights().write_bytes(b"damaged")
    for args in ([], ["free-model"]):
        bad = models("verify", *args)
        assert bad.returncode == 1
        assert f"free-model\taltered\t{models.weights()}" in bad.stdout
        assert "revision" not in bad.stdout
    models.weights().unlink()
    assert f"free-model\tmissing\t{models.weights()}" in models("verify").stdout


def test_verify_what_is_not_here(models: Place) -> None:
    assert (models("verify").returncode, models("verify").stdout) == (0, "")
    done = models("verify", "free-model", "dummy")
    assert done.returncode == 1
    assert "free-model\tmissing\tconfig.json" in done.stdout
    assert "dummy: nothing to verify" in done.stderr


def test_trust(models: Place) -> None:
    models.weights().parent.mkdir(parents=True)
    models.weights().write_bytes(b"a fine-tune")
    models.weights().with_name("config.json").write_bytes(b"{}")
    assert models("verify", "free-model").returncode == 1

    done = models("verify", "free-model", "--trust")
    assert done.returncode == 0, done.stderr
    assert f"free-model\town\t{models.weights()}" in done.stdout
    assert "free-model\trevision\tlocal-" in done.stdout
    assert models("verify").stdout == done.stdout
    models.weights().write_bytes(b"something else")
    assert models("verify").returncode == 1


def test_trust_needs_names(models: Place) -> None:
    done = models("verify", "--trust")

    assert done.returncode == 2
    assert "names" in done.stderr
