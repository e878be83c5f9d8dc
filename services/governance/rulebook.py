"""The mode and the policies in force, as this instance's views know them."""

from dataclasses import dataclass

from domain.governance_events import Mode
from domain.policy import Bundle
from infra.cel import CelConditions, shipped
from infra.ports import Context
from projections.governance import MODE, MODE_KEY, POLICIES


@dataclass(frozen=True, slots=True)
class Rules:
    """What decides now. ``conditions`` is compiled once for each bundle."""

    mode: Mode
    user_present: bool
    conditions: CelConditions


class Rulebook:
    """Gives the rules in force; compiles a bundle when it changes and not before."""

    def __init__(self, ctx: Context, *, first_mode: Mode) -> None:
        self._ctx = ctx
        self._first_mode = first_mode
        self._key: tuple[tuple[str, int], ...] | None = None
        self._conditions = CelConditions(shipped())
        self._rules: tuple[int, Rules] | None = None  # as of a position of the views

    def current(self) -> Rules:
        position = self._ctx.views.position
        if self._rules is None or self._rules[0] != position:
            self._rules = (position, self._read())
        return self._rules[1]

    def _read(self) -> Rules:
        row = self._ctx.views.get(MODE, MODE_KEY)
        mode = row.mode if row else self._first_mode
        return Rules(mode, row is not None and row.user_present, self.conditions())

    def conditions(self) -> CelConditions:
        """The bundle of all adopted policies; the shipped one until the log holds any."""
        rows = self._ctx.views.all(POLICIES)
        key = tuple((row.policy.policy_id, row.position) for row in rows)
        if key != self._key:
            in_force = tuple(row.policy for row in rows if not row.retired)
            bundle = Bundle(policies=in_force) if rows else shipped()
            self._conditions = CelConditions(bundle)
            self._key = key
        return self._conditions
