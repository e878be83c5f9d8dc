"""From a SPEC to the source tree of a service."""

from infra.generator.generate import (
    GENERATOR_VERSION,
    GeneratedProject,
    generate,
    problems,
    tree_digest,
)

__all__ = ["GENERATOR_VERSION", "GeneratedProject", "generate", "problems", "tree_digest"]
