"""Writes what SAM makes of template.yaml: only there can cfn-lint see roles and mappings.

.venv/tools/bin/python infra/translate.py .aws-sam/translated.json [Name=value ...]
"""

import json
import sys
from pathlib import Path
from typing import Any

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).parent.parent
PACKAGED = "s3://packaged/code"
"""Where the code will be is not known yet; any place passes."""


def translated(template: Path, parameters: dict[str, str]) -> dict[str, Any]:
    """Return the template as CloudFormation gets it, the stacks inside by their full paths."""
    read = yaml_parse(template.read_text())
    for resource in read["Resources"].values():
        told = resource.get("Properties", {})
        for name in {"CodeUri", "ContentUri"} & told.keys():
            told[name] = PACKAGED
        if resource["Type"] == "AWS::CloudFormation::Stack":
            told["TemplateURL"] = str((template.parent / told["TemplateURL"]).resolve())
    session = boto3.Session(region_name="us-east-1")
    return dict(Translator({}, Parser(), boto_session=session).translate(read, parameters))


def main() -> int:
    """Write the translation where the command line says."""
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    parameters = dict(word.split("=", 1) for word in sys.argv[2:])
    target.write_text(json.dumps(translated(ROOT / "template.yaml", parameters), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
