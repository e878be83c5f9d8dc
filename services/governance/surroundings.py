"""Who needs which running service, out of what the log says of deployments and registrations."""

from collections.abc import Iterator
from contextlib import contextmanager

from domain.dependents import Dependents
from infra.ports import Context
from projections.services import SERVICES, ServiceRow


def dependents(ctx: Context) -> Dependents:
    """Return it as the views have it now."""
    found = Dependents()
    for row in ctx.views.all(SERVICES):
        found.learn(row.name, _needs(row))
    return found


@contextmanager
def followed(ctx: Context) -> Iterator[Dependents]:
    """Within the block, kept as the views change: an intent costs a look into a dictionary."""
    found = dependents(ctx)

    def seen(name: str, row: ServiceRow | None) -> None:
        found.learn(name, _needs(row) if row else ())

    with ctx.views.watching(SERVICES, seen):
        yield found


def _needs(row: ServiceRow) -> set[str]:
    """What it declares, registered or proven healthy; both, while the registry is not there yet."""
    registered = row.dependencies if row.registered else ()
    return {*registered, *(row.wanted.dependencies if row.wanted else ())}
