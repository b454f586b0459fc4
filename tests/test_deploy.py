"""What is deployed is what there is: options, settings, variables, paths, ports of the manifests.

There is no Docker where the tests run, so the files are read and held to the program.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from vedette.cli import app
from vedette.serve.audit import secret as audit_secret
from vedette.serve.jobs import signing
from vedette.serve.options import ServeOptions, checked, load_options

ROOT = Path(__file__).parents[1]
DATA = "/var/lib/vedette"
VARIABLES = {
    audit_secret.KEY_FILE,
    signing.KEY_FILE,
    "VEDETTE_DATABASE",  # of vedette keys and vedette audit
    "PGPASSWORD_FILE",  # of deploy/with-password.sh
}


@cache
def dockerfile() -> list[list[str]]:
    """Its instructions, each with its words."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [line.split(maxsplit=1) for line in lines]


def instruction(name: str) -> str:
    """The last one of that name."""
    return [words for first, words in dockerfile() if first == name][-1]


@cache
def compose() -> Any:
    return yaml.safe_load((ROOT / "compose.yaml").read_text())


@cache
def manifests() -> dict[str, Any]:
    """By their kinds."""
    found = yaml.safe_load_all((ROOT / "deploy" / "kubernetes.yaml").read_text())
    return {one["kind"]: one for one in found}


def pod() -> Any:
    return manifests()["StatefulSet"]["spec"]["template"]["spec"]


def container() -> Any:
    (one,) = pod()["containers"]
    return one


@pytest.fixture
def settings(tmp_path: Path) -> ServeOptions:
    """Of the ConfigMap, read as the service reads them."""
    path = tmp_path / "vedette.toml"
    path.write_text(manifests()["ConfigMap"]["data"]["vedette.toml"])
    return checked(load_options(path))


def commands() -> list[list[str]]:
    """The arguments of the program, wherever it is started."""
    return [
        json.loads(instruction("CMD")),
        compose()["services"]["vedette"]["command"],
        container()["args"],
    ]


@pytest.mark.parametrize("place", range(3), ids=["Dockerfile", "compose", "Kubernetes"])
def test_the_program_takes_these_options(place: int) -> None:
    command = commands()[place]
    assert command[0] == "serve"
    group = typer.main.get_command(app)
    serve = group.commands["serve"]  # type: ignore[attr-defined]
    serve.make_context("serve", list(command[1:]), resilient_parsing=False)  # raises on others
    assert all(isinstance(word, str) for word in command)


def test_variables_are_those_that_are_read() -> None:
    given = set(compose()["services"]["vedette"]["environment"])
    given |= {one["name"] for one in container()["env"]}

    assert given == VARIABLES


def test_nothing_runs_as_root_and_nothing_is_written_into_the_image() -> None:
    assert instruction("USER") == "10001:10001"
    service = compose()["services"]["vedette"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["tmpfs"] == ["/tmp"]
    context = pod()["securityContext"]
    assert (context["runAsNonRoot"], context["runAsUser"]) == (True, 10001)
    own = container()["securityContext"]
    assert own["readOnlyRootFilesystem"] is True
    assert own["allowPrivilegeEscalation"] is False
    assert own["capabilities"] == {"drop": ["ALL"]}


def test_ports_agree(settings: ServeOptions) -> None:
    (port,) = container()["ports"]
    (published,) = compose()["services"]["vedette"]["ports"]
    (exposed,) = manifests()["Service"]["spec"]["ports"]

    assert int(instruction("EXPOSE")) == port["containerPort"] == settings.port == 8080
    assert published.endswith(":8080")
    assert published.startswith("127.0.0.1:")  # not for the world
    assert exposed["targetPort"] == port["name"]
    for command in commands()[:2]:
        assert command[command.index("--port") + 1] == "8080"


def test_probes_ask_for_what_there_is() -> None:
    from tests.serve.doubles import services_of
    from vedette.serve.app import create_app

    services = services_of()
    try:
        known = create_app(services).openapi()["paths"]
    finally:
        services.engine.close()
    asked = {
        container()[probe]["httpGet"]["path"]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    asked |= set(re.findall(r":8080(/\w+)", instruction("HEALTHCHECK")))

    assert asked == {"/healthz", "/readyz"}
    assert asked <= set(known)
    assert container()["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container()["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_there_is_time_to_end_in_good_order(settings: ServeOptions) -> None:
    pause = int(container()["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod()["terminationGracePeriodSeconds"] >= pause + settings.drain_seconds + 10
    given = compose()["services"]["vedette"]["stop_grace_period"]
    assert int(given.removesuffix("s")) >= ServeOptions().drain_seconds + 10


def test_what_must_outlive_the_process_is_on_the_volume(settings: ServeOptions) -> None:
    assert settings.spool.startswith(DATA)
    assert settings.jobs.folder.startswith(DATA)
    assert instruction("VOLUME") == instruction("WORKDIR") == DATA
    mounts = {one["name"]: one["mountPath"] for one in container()["volumeMounts"]}
    (claim,) = manifests()["StatefulSet"]["spec"]["volumeClaimTemplates"]
    assert mounts[claim["metadata"]["name"]] == DATA
    assert f"vedette:{DATA}" in compose()["services"]["vedette"]["volumes"]


def test_every_volume_and_secret_that_is_used_is_there() -> None:
    there = {one["name"] for one in pod()["volumes"]} | {"data"}
    assert {one["name"] for one in container()["volumeMounts"]} == there
    folder = {one["name"]: one["mountPath"] for one in container()["volumeMounts"]}["secrets"]
    files = [one["value"] for one in container()["env"] if one["name"].endswith("_FILE")]
    assert files
    assert all(file.startswith(f"{folder}/") for file in files)
    for service in compose()["services"].values():
        assert set(service["secrets"]) <= set(compose()["secrets"])
        for name, value in service["environment"].items():
            if name.endswith("_FILE"):
                assert value.removeprefix("/run/secrets/") in service["secrets"]


def test_no_password_stands_in_a_file() -> None:
    for name in ("compose.yaml", "deploy/kubernetes.yaml", "Dockerfile"):
        text = (ROOT / name).read_text()
        assert not re.search(r"://[^/\s]*:[^/\s]*@", text)
        assert not re.search(r"(?i)password[ \t]*[:=][ \t]*[\"']?\w", text)
    assert "Secret" not in manifests()
    assert (ROOT / ".dockerignore").read_text().startswith("*\n")


def test_replicas_share_their_words(settings: ServeOptions) -> None:
    spec = manifests()["StatefulSet"]["spec"]
    labels = spec["template"]["metadata"]["labels"]
    assert spec["replicas"] >= 2
    for kind in ("Service", "PodDisruptionBudget", "NetworkPolicy"):
        told = manifests()[kind]["spec"]
        chosen = told.get("selector", told.get("podSelector"))
        assert chosen.get("matchLabels", chosen) == labels
    assert spec["selector"]["matchLabels"] == labels
    assert settings.database.startswith("postgresql+psycopg://")
    assert settings.host == "0.0.0.0"
    databases = {one["value"] for one in container()["env"] if one["name"] == "VEDETTE_DATABASE"}
    assert databases == {settings.database}
    memory = container()["resources"]["limits"]["memory"]
    assert settings.limits.held_bytes < int(memory.removesuffix("Gi")) * 2**30


def test_the_network_is_shut_but_for_what_is_needed() -> None:
    spec = manifests()["NetworkPolicy"]["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert {port["port"] for rule in spec["egress"] for port in rule["ports"]} == {53, 5432}
    assert compose()["networks"]["back"] == {"internal": True}
    assert compose()["services"]["postgres"]["networks"] == ["back"]


def test_weights_are_baked_in_only_when_asked_for() -> None:
    arguments = [words for first, words in dockerfile() if first == "ARG"]
    assert 'WEIGHTS=""' in arguments
    (extras,) = [word for word in arguments if word.startswith("EXTRAS=")]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = extras.partition("=")[2].strip('"').split(",")
    assert set(named) <= set(project["optional-dependencies"]) - {"nudenet", "zoo", "all", "dev"}
    assert compose()["services"]["vedette"]["build"]["args"] == {"WEIGHTS": "nudenet"}
    minor = instruction("FROM").split(":")[1].split("-")[0]
    assert tuple(map(int, minor.split("."))) >= (3, 11)


def test_files_that_are_copied_are_there_and_not_ignored() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"}
    for first, words in dockerfile():
        if first == "COPY" and "--from" not in words:
            *sources, _ = [word for word in words.split() if not word.startswith("--")]
            assert set(sources) <= kept
            assert all((ROOT / source).exists() for source in sources)


def test_the_password_reaches_the_command_and_nothing_else(tmp_path: Path) -> None:
    script = str(ROOT / "deploy" / "with-password.sh")
    told = tmp_path / "password"
    told.write_text("a b$c'\n")
    shown = ["sh", "-c", 'printf %s "${PGPASSWORD-none}"']
    for given, expected in (({"PGPASSWORD_FILE": str(told)}, "a b$c'"), ({}, "none")):
        done = subprocess.run(
            ["sh", script, *shown], env=given, capture_output=True, text=True, check=True
        )
        assert done.stdout == expected
    missing = subprocess.run(
        ["sh", script, "true"], env={"PGPASSWORD_FILE": "none"}, capture_output=True, check=False
    )
    assert missing.returncode != 0
    assert shlex.split(instruction("ENTRYPOINT").strip("[]").replace(",", " "))[0] == (
        "with-password"
    )
