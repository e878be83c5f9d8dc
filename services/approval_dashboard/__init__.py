"""Where people decide: approvals with all their evidence, the mode, and what goes on."""
