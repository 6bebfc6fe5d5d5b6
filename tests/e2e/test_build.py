"""`make build`, for both processors: what the zips hold, and what they do not."""

import _imp
import os
import re
import subprocess
from email.parser import HeaderParser
from pathlib import Path

import pytest
from cloudformation import ROOT, resources
from packaging.requirements import Requirement

from infra import sizes

pytestmark = pytest.mark.e2e

FUNCTIONS = resources("AWS::Serverless::Function")
LAYERS = resources("AWS::Serverless::LayerVersion")
FOLDERS = {
    **{name: ROOT / function["CodeUri"] for name, function in FUNCTIONS.items()},
    **{name: ROOT / layer["ContentUri"] for name, layer in LAYERS.items()},
}
JUNK = ("tests", "bin", "RECORD", "WHEEL", "INSTALLER", "REQUESTED", "Makefile", "requirements.txt")
UNCHECKED_HASH = 0b01
REPRODUCED = ["CommonLayer", "AuthFunction", "EmailFunction"]


@pytest.fixture(scope="module", params=["arm64", "x86_64"])
def build(request: pytest.FixtureRequest, built: Path) -> Path:
    return built / str(request.param)


@pytest.fixture(scope="module")
def artefacts(build: Path) -> list[sizes.Artefact]:
    return sizes.artefacts(build)


def test_every_function_and_the_layer_is_built(build, artefacts) -> None:
    assert {artefact.name for artefact in artefacts} == FOLDERS.keys()
    assert (build / "template.yaml").exists()


def test_everything_is_within_its_budget_and_for_the_right_processor(build, artefacts) -> None:
    assert list(sizes.faults_of(build.name, artefacts, sizes.budgets())) == []
    assert {m for each in artefacts for m in each.machines} == {build.name}


def test_an_artefact_holds_its_lock_and_nothing_else(build) -> None:
    for name, folder in FOLDERS.items():
        locked = _locked(folder / "requirements.txt", build.name)
        # Of this one's package only a page is left.
        assert _held(build / name) == (set() if name == "DocsFunction" else locked), name


def test_a_provider_s_sdk_is_only_where_it_is_called(build) -> None:
    holders = {
        package: [name for name in FOLDERS if list((build / name).rglob(package))]
        for package in ("twilio", "firebase_admin", "argon2", "boto3", "botocore")
    }
    assert holders == {
        "twilio": ["SmsFunction"],
        "firebase_admin": ["PushFunction"],
        "argon2": ["AuthFunction"],
        "boto3": [],
        "botocore": [],
    }


def test_no_file_is_there_for_nothing(build) -> None:
    files = [path for name in FOLDERS for path in (build / name).rglob("*") if path.is_file()]
    unwanted = [path for path in files if {*path.relative_to(build).parts} & {*JUNK}]
    unwanted += [path for path in files if path.suffix in (".pyi", ".typed", ".lock")]
    unwanted += [path for path in files if path.suffix == ".pyc" and not _source(path).exists()]
    assert unwanted == []


@pytest.mark.usefixtures("runtime")  # without a python3.13 there is none, which the build says
def test_every_source_has_bytecode_that_is_loaded_whatever_its_age(build) -> None:
    for name in FOLDERS:
        for source in (build / name).rglob("*.py"):
            cached = source.parent / "__pycache__" / f"{source.stem}.cpython-313.pyc"
            header = cached.read_bytes()[:16]
            assert int.from_bytes(header[4:8], "little") == UNCHECKED_HASH
            magic = int.from_bytes(header[:4], "little")
            assert header[8:] == _imp.source_hash(magic, source.read_bytes()), source


def test_our_own_files_are_as_they_were_written(build) -> None:
    package = ROOT / "layers/common/carillon"
    for source in package.rglob("*.*"):
        if "__pycache__" not in source.parts and source.name != "py.typed":
            shipped = build / "CommonLayer/python/carillon" / source.relative_to(package)
            assert shipped.read_bytes() == source.read_bytes()


@pytest.mark.parametrize("name", REPRODUCED)
def test_building_again_gives_the_same_bytes(built, name, tmp_path) -> None:
    again = tmp_path / name
    subprocess.run(
        ["make", "-s", "-f", FOLDERS[name] / "Makefile", f"build-{name}", f"ARTIFACTS_DIR={again}"],
        env=os.environ
        | {"PATH": f"{ROOT}/.venv/uv/bin:{os.environ['PATH']}", "LAMBDA_ARCH": "x86_64"},
        check=True,
    )
    assert sizes.measured(again).digest == sizes.measured(built / "x86_64" / name).digest


def _locked(lock: Path, architecture: str) -> set[str]:
    machine = {"arm64": "aarch64"}.get(architecture, architecture)
    target = {"python_full_version": "3.13.0", "platform_machine": machine, "sys_platform": "linux"}
    lines = re.findall(r"^[a-z0-9].*", lock.read_text(), re.MULTILINE) if lock.exists() else []
    wanted = [Requirement(line.rstrip(" \\")) for line in lines]
    return {each.name for each in wanted if not each.marker or each.marker.evaluate(target)}


def _held(artefact: Path) -> set[str]:
    metadata = artefact.rglob("*.dist-info/METADATA")
    names = [HeaderParser().parsestr(path.read_text())["Name"] for path in metadata]
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names}


def _source(cached: Path) -> Path:
    return cached.parent.parent / f"{cached.name.partition('.')[0]}.py"
