"""Tells how large each built function and the layer are, and fails when one passes its budget.

`make build` runs it:  python infra/sizes.py arm64 x86_64
"""

import hashlib
import io
import sys
import tomllib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
BUILDS = ROOT / ".aws-sam"
BUDGETS = Path(__file__).with_suffix(".toml")
UNZIPPED_LIMIT = 250 * 1024**2
"""Bytes of a function with its layers, by Lambda's quotas."""
MACHINES = {0xB7: "arm64", 0x3E: "x86_64"}
"""e_machine of an ELF file, little-endian at byte 18 (elf.h: EM_AARCH64, EM_X86_64)."""
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Artefact:
    """One folder that becomes one zip; sizes in bytes."""

    name: str
    files: int
    unzipped: int
    zipped: int
    digest: str
    machines: frozenset[str]
    uncompiled: int


@dataclass(frozen=True)
class Budget:
    """What an artefact may take, in bytes."""

    unzipped: int
    zipped: int


def main(architectures: Sequence[str]) -> int:
    """Print the sizes; the exit status says whether all are within their budgets."""
    limits = budgets()
    built = {each: artefacts(BUILDS / each) for each in architectures}
    console = Console(highlight=False)
    console.print(table(built, limits))
    faults = [
        f"{architecture}: {fault}"
        for architecture, found in built.items()
        for fault in faults_of(architecture, found, limits)
    ]
    for fault in faults:
        console.print(f"[bold red]{fault}[/]", soft_wrap=True)
    missing = sum(a.uncompiled for found in built.values() for a in found)
    if missing:
        console.print(
            f"[bold yellow]WARNING: {missing} files have no bytecode, and cold starts take 2.4 "
            "times as long: no python3.13 was found here. LAMBDA_PYTHON=... names one.[/]",
            soft_wrap=True,
        )
    return 1 if faults else 0


def budgets(file: Path = BUDGETS) -> dict[str, Budget]:
    """Return the budgets by artefact; ``others`` is for those without one of their own."""
    found = tomllib.loads(file.read_text())
    return {name: Budget(told["unzipped"], told["zipped"]) for name, told in found.items()}


def artefacts(build: Path) -> list[Artefact]:
    """Return what a build made, by name; a nested stack's folder is none."""
    folders = (path for path in build.iterdir() if path.is_dir())
    return [measured(path) for path in sorted(folders) if not (path / "template.yaml").exists()]


def measured(folder: Path) -> Artefact:
    """Zip a folder as sam does, and look into it."""
    packed, digest = io.BytesIO(), hashlib.sha256()
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    machines, unzipped = set(), 0
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            name, content = path.relative_to(folder).as_posix(), path.read_bytes()
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, zipfile.ZIP_DEFLATED)
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
            machines |= set(machine_of(content))
            unzipped += len(content)
    return Artefact(
        folder.name,
        len(files),
        unzipped,
        packed.tell(),
        digest.hexdigest(),
        frozenset(machines),
        sum(path.suffix == ".py" and not _is_compiled(path) for path in files),
    )


def machine_of(content: bytes) -> Iterator[str]:
    """Yield the processors that a file is for, if it is for any."""
    if content[:4] == b"\x7fELF":
        number = int.from_bytes(content[18:20], "little")
        yield MACHINES.get(number, f"ELF machine {number}")


def faults_of(
    architecture: str, found: Sequence[Artefact], limits: Mapping[str, Budget]
) -> Iterator[str]:
    """Yield what is wrong with a build."""
    layer = sum(each.unzipped for each in found if each.name.endswith("Layer"))
    for each in found:
        budget = limits.get(each.name, limits["others"])
        if each.unzipped > budget.unzipped or each.zipped > budget.zipped:
            yield (
                f"{each.name} takes {each.unzipped} bytes, zipped {each.zipped}; its budget in "
                f"infra/sizes.toml is {budget.unzipped} and {budget.zipped}"
            )
        if each.unzipped + layer > UNZIPPED_LIMIT:
            yield f"{each.name} and the layer take more than Lambda's {UNZIPPED_LIMIT} bytes"
        if foreign := each.machines - {architecture}:
            yield f"{each.name} holds code for {', '.join(sorted(foreign))}"
    for name in limits.keys() - {each.name for each in found} - {"others"}:
        yield f"{name} has a budget, but nothing of that name was built"


def table(built: Mapping[str, Sequence[Artefact]], limits: Mapping[str, Budget]) -> Table:
    """Return the sizes, for people: the largest first."""
    shown = Table(box=None, padding=(0, 2, 0, 0), title="Built, in kB", title_justify="left")
    shown.add_column("")
    shown.add_column("files", justify="right")
    for architecture in built:
        for heading in (architecture, "zipped"):
            shown.add_column(heading, justify="right")
    shown.add_column("budget", justify="right")
    rows: dict[str, list[Artefact]] = {}
    for each in (artefact for found in built.values() for artefact in found):
        rows.setdefault(each.name, []).append(each)
    for name, row in sorted(rows.items(), key=lambda item: -item[1][0].zipped):
        sizes = [size for each in row for size in (each.unzipped, each.zipped)]
        told = [*sizes, limits.get(name, limits["others"]).zipped]
        shown.add_row(name, str(row[0].files), *(f"{size / 1000:,.0f}" for size in told))
    return shown


def _is_compiled(path: Path) -> bool:
    cached = path.parent / "__pycache__" / f"{path.stem}.cpython-313.pyc"
    return cached.exists()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
