"""Claude as an evaluator, with the published rubric below it (see docs/governance.md)."""

from infra.claude.evaluator import ClaudeEvaluator, Prices

__all__ = ["ClaudeEvaluator", "Prices"]
