"""The table of problem codes in docs/http.md, from where the code raises them."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/http.md"
BEGIN, END = "<!-- codes: made by make docs -->\n", "<!-- /codes -->\n"


def page() -> str:
    """Return the page with its table as it must be."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}{_table()}{END}{after}"


def _table() -> str:
    codes: dict[int, set[str]] = defaultdict(set)
    for path in [*ROOT.glob("layers/common/**/*.py"), *ROOT.glob("functions/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                for status, code in _raised(node):
                    codes[status].add(code)
    rows = [
        f"| {n} | {', '.join(f'`{each}`' for each in sorted(codes[n]))} |" for n in sorted(codes)
    ]
    return "\n".join(["| status | codes |", "|---|---|", *rows, ""])


def _raised(call: ast.Call) -> Iterator[tuple[int, str]]:
    """Yield the status and code a call makes a problem of."""
    name = ast.unparse(call.func).rpartition(".")[2]
    values = [value.value if isinstance(value, ast.Constant) else None for value in call.args]
    match name, values:
        case (("Problem" | "_problem"), [int(status), str(code), *_]):
            yield status, code
        case "not_found", [str(what), *_]:
            yield 404, f"{what}-not-found"
        case "bad_field", _:
            given = {word.arg: word.value for word in call.keywords}.get("code")
            if given is None or isinstance(given, ast.Constant):
                yield 422, str(given.value) if given else "invalid-request"
