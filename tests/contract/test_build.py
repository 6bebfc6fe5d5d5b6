"""How the functions are built: what the template, the makefiles and the locks owe each other."""

import re
import subprocess
from pathlib import Path

import pytest
from answers import EXPECTED
from cloudformation import ROOT, resources, template

from infra import sizes

FUNCTIONS = resources("AWS::Serverless::Function")
LAYERS = resources("AWS::Serverless::LayerVersion")
FOLDERS = {
    **{name: ROOT / function["CodeUri"] for name, function in FUNCTIONS.items()},
    **{name: ROOT / layer["ContentUri"] for name, layer in LAYERS.items()},
}
LOCKS = sorted(
    str(path.parent.relative_to(ROOT))
    for folder in ("functions", "layers")
    for path in (ROOT / folder).rglob("requirements.in")
)
REF = {"Ref": "Architecture"}


@pytest.mark.parametrize("name", FOLDERS)
def test_every_artefact_is_built_by_the_same_rules(name) -> None:
    block = template()["Resources"][name]
    assert block["Metadata"]["BuildMethod"] == "makefile"
    first = (FOLDERS[name] / "Makefile").read_text().splitlines()[0]
    assert first.endswith("/infra/build.mk")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_built_of_its_folder_s_files(name, tmp_path) -> None:
    told = [f"ARTIFACTS_DIR={tmp_path}", "INSTALL=true", "TRIM=true", "COMPILE=true"]
    makefile = FOLDERS[name] / "Makefile"
    subprocess.run(["make", "-s", "-f", makefile, f"build-{name}", *told], check=True)
    built = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    wanted = {path.name for path in FOLDERS[name].iterdir() if path.suffix in (".py", ".json")}
    assert built == wanted
    module, _, _ = FUNCTIONS[name].get("Handler", "handler.lambda_handler").rpartition(".")
    assert (tmp_path / f"{module.replace('.', '/')}.py").exists()


def test_the_processor_is_one_parameter_everywhere() -> None:
    allowed = template()["Parameters"]["Architecture"]
    assert allowed["Default"] == "arm64"
    assert template()["Globals"]["Function"]["Architectures"] == [REF]
    assert [f for f in FUNCTIONS.values() if "Architectures" in f] == []
    assert [layer["CompatibleArchitectures"] for layer in LAYERS.values()] == [[REF]]
    for name in LAYERS:
        assert template()["Resources"][name]["Metadata"]["BuildArchitecture"] == REF
    known = re.findall(r"^PLATFORM_(\w+) :=", (ROOT / "infra/build.mk").read_text(), re.MULTILINE)
    made = re.findall(r"^ARCHITECTURES := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert allowed["AllowedValues"] == known == made[0].split()


@pytest.mark.parametrize(
    ("architecture", "platform"),
    [("arm64", "aarch64-manylinux_2_28"), ("x86_64", "x86_64-manylinux_2_28")],
)
def test_the_wheels_are_for_the_processor_asked_for(architecture, platform) -> None:
    done = _dry_run(f"LAMBDA_ARCH={architecture}")
    assert f"--python-version 3.13 --python-platform {platform} " in done.stdout


def test_a_processor_that_lambda_lacks_is_refused() -> None:
    done = _dry_run("LAMBDA_ARCH=riscv64")
    assert done.returncode != 0
    assert "neither arm64 nor x86_64" in done.stderr


def test_a_missing_python_is_said_aloud(tmp_path) -> None:
    told = [f"ARTIFACTS_DIR={tmp_path}", "LAMBDA_PYTHON="]
    done = subprocess.run(
        ["make", "-s", "-f", ROOT / "functions/jobs/Makefile", "build-JobsFunction", *told],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "WARNING: not compiled: no python3.13 here" in done.stderr
    (built,) = (sizes.measured(tmp_path),)
    assert (built.files, built.uncompiled) == (1, 1)


def _dry_run(*told: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *("make", "-n", "-f", ROOT / "functions/authorizer/Makefile"),
            *("build-AuthorizerFunction", "ARTIFACTS_DIR=/nowhere", *told),
        ],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("folder", LOCKS)
def test_what_is_shipped_is_what_is_tested(folder) -> None:
    tested = _pins(ROOT / "requirements/dev.txt")
    shipped = _pins(ROOT / folder / "requirements.txt")
    assert shipped
    assert shipped.items() <= tested.items()


@pytest.mark.parametrize("folder", LOCKS)
def test_the_runtime_s_sdk_is_never_shipped(folder) -> None:
    assert _pins(ROOT / folder / "requirements.txt").keys() & {"boto3", "botocore"} == set()


def test_one_command_locks_all_that_is_shipped() -> None:
    told = subprocess.run(
        ["make", "-n", "lock"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert (
        sorted(re.findall(r"^echo \"locking (.*)/requirements.txt\"", told, re.MULTILINE)) == LOCKS
    )
    for folder in LOCKS:
        assert f"{folder}/requirements.in -c requirements/dev.txt " in told


def test_every_sample_event_has_the_answer_that_its_built_function_gives() -> None:
    assert EXPECTED.keys() == {path.stem for path in (ROOT / "events").glob("*.json")}


def test_every_budget_is_of_something_that_is_built() -> None:
    assert sizes.budgets().keys() - {"others"} <= FOLDERS.keys()
    # Whoever brings dependencies says what they may take.
    assert {name for name, at in FOLDERS.items() if _locked(at)} == sizes.budgets().keys() - {
        "others"
    }


class TestABudget:
    def _faults(self, folder: Path, **limits: sizes.Budget) -> list[str]:
        others = sizes.Budget(unzipped=100, zipped=1000)
        built = [sizes.measured(folder)]
        return list(sizes.faults_of("arm64", built, {"others": others, **limits}))

    def test_that_is_kept_is_no_fault(self, tmp_path) -> None:
        (tmp_path / "handler.py").write_text("x" * 100)
        assert self._faults(tmp_path) == []

    def test_that_is_passed_is_one(self, tmp_path) -> None:
        (tmp_path / "handler.py").write_text("x" * 101)
        (fault,) = self._faults(tmp_path)
        assert "takes 101 bytes" in fault

    def test_of_nothing_is_one(self, tmp_path) -> None:
        (fault,) = self._faults(tmp_path, Gone=sizes.Budget(1, 1))
        assert fault == "Gone has a budget, but nothing of that name was built"

    def test_does_not_hide_code_for_another_processor(self, tmp_path) -> None:
        (tmp_path / "x.so").write_bytes(b"\x7fELF" + bytes(14) + b"\x3e\x00")
        (fault,) = self._faults(tmp_path)
        assert fault.endswith("holds code for x86_64")

    def test_makes_the_command_fail(self, tmp_path, monkeypatch, capsys) -> None:
        handler = tmp_path / "arm64/AFunction/handler.py"
        handler.parent.mkdir(parents=True)
        handler.write_text("pass")
        monkeypatch.setattr(sizes, "BUILDS", tmp_path)
        for zipped, status in ((1000, 0), (1, 1)):
            limits = {"others": sizes.Budget(1000, zipped)}
            monkeypatch.setattr(sizes, "budgets", lambda limits=limits: limits)
            assert sizes.main(["arm64"]) == status
        assert "WARNING: 1 files have no bytecode" in capsys.readouterr().out


def _locked(folder: Path) -> bool:
    return (folder / "requirements.txt").exists()


def _pins(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", lock.read_text(), re.MULTILINE))
