"""Prints the JSON Schema of a SPEC: ``python -m domain.spec.schema > domain/spec/schema.json``."""

import json
import sys

from domain.spec.model import Spec

if __name__ == "__main__":
    json.dump(Spec.model_json_schema(by_alias=True), sys.stdout, indent=2)
    sys.stdout.write("\n")
