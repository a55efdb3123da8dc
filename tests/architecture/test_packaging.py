"""The container files, the Makefile and the pins, checked without an engine."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from app.cli.root import cli

ROOT = Path(__file__).resolve().parents[2]


def stages() -> dict[str, list[tuple[str, str]]]:
    """Dockerfile stage name → its (instruction, argument) lines, those of the stages it is built on included."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    found: dict[str, list[tuple[str, str]]] = {}
    current = ""
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        instruction, _, argument = line.strip().partition(" ")
        if instruction == "FROM":
            parent, _, current = argument.partition(" AS ")
            found[current] = list(found.get(parent, []))
        else:
            found[current].append((instruction, argument.strip()))
    return found


def last(lines: list[tuple[str, str]], instruction: str) -> str:
    return [argument for name, argument in lines if name == instruction][-1]


def commands() -> set[str]:
    return {command.name for command in cli.registered_commands if command.name}


def options(command: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-m", "app", command, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(re.findall(r"--[a-z-]+", done.stdout))


@pytest.mark.parametrize("target", ["api", "worker"])
def test_images_run_as_a_user_with_a_health_check(target: str) -> None:
    lines = stages()[target]
    assert last(lines, "USER") not in ("root", "0")
    assert "CMD" in last(lines, "HEALTHCHECK")
    assert ("VOLUME", "/var/lib/attest") in lines
    assert "libgomp1" in " ".join(argument for name, argument in lines if name == "RUN")


@pytest.mark.parametrize("target", ["api", "worker"])
def test_the_commands_that_the_images_name_exist(target: str) -> None:
    for instruction in ("CMD", "HEALTHCHECK"):
        argument = last(stages()[target], instruction)
        words = yaml.safe_load(argument[argument.index("[") :])
        if words[0] != "attest":
            continue
        assert words[1] in commands()
        assert {word for word in words if word.startswith("--")} <= options(words[1])


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return loaded


def test_compose_runs_both_targets_on_one_volume() -> None:
    services = compose()["services"]
    assert {service["build"]["target"] for service in services.values()} == {"api", "worker"} == set(services)
    assert services["api"]["volumes"] == services["worker"]["volumes"] == ["home:/var/lib/attest"]
    assert "home" in compose()["volumes"]
    assert services["worker"]["depends_on"] == {"api": {"condition": "service_healthy"}}
    for service in services.values():
        assert service["build"]["target"] in stages()
        assert service["healthcheck"]["test"][0] == "CMD"
        assert service["environment"]["ATTEST_API_KEYS"].startswith("${ATTEST_API_KEYS:?"), "keys must be required"


def test_compose_and_image_check_health_alike() -> None:
    for name, service in compose()["services"].items():
        argument = last(stages()[name], "HEALTHCHECK")
        assert service["healthcheck"]["test"] == ["CMD", *yaml.safe_load(argument[argument.index("[") :])]


def test_what_the_image_copies_is_let_in() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert ignored[0] == "*"
    copied = {word for name, line in stages()["build"] if name == "COPY" for word in shlex.split(line)[:-1]}
    assert copied <= {word[1:] for word in ignored if word.startswith("!")}


def test_every_dependency_is_pinned_within_its_range() -> None:
    pins = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            pin = Requirement(line)
            (only,) = pin.specifier
            assert only.operator == "==", line
            pins[re.sub(r"[-_.]+", "-", pin.name).lower()] = only.version
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for wanted in map(Requirement, [*project["dependencies"], *project["optional-dependencies"]["test"]]):
        version = pins.get(re.sub(r"[-_.]+", "-", wanted.name).lower())
        assert version is not None, f"{wanted.name} has no pin in constraints.txt"
        assert wanted.specifier.contains(version), f"{wanted} does not allow the pin {version}"
    assert pins["torch"] == "2.13.0", "no local suffix: the plain and the CPU build must both satisfy it"


def test_make_knows_its_targets() -> None:
    for target in ("run", "test", "check", "bench", "clean"):
        done = subprocess.run(
            ["make", "--dry-run", "--always-make", target], cwd=ROOT, capture_output=True, text=True, timeout=30
        )
        assert done.returncode == 0, done.stderr


def test_ci_runs_the_suite_with_no_skip_allowed() -> None:
    script = ROOT / ".ci" / "run"
    subprocess.run(["bash", "-n", script], check=True, timeout=10)
    text = script.read_text(encoding="utf-8")
    assert "set -euo pipefail" in text
    assert "export ATTEST_FORBID_SKIPS=1" in text
    assert text.rstrip().endswith("exec make test")
