"""What a SPEC alone does not show: CEL that does not compile, names and ports that are taken."""

from collections.abc import Iterable, Iterator

from domain.spec.check import cel_problems
from domain.spec.findings import Lost, outside
from domain.spec.model import Spec
from infra import spec_cel
from infra.ports import Views
from infra.settings import BASE_PORTS, PORT_STEP
from projections.specs import IN_USE

INSTANCES = 3


def losses(spec: Spec, views: Views) -> tuple[Lost, ...]:
    """Points that the SPEC loses for what stands around it."""
    return (*_cel(spec), *_port(spec, views), *_dependencies(spec, views))


def _cel(spec: Spec) -> Iterator[Lost]:
    for problem in cel_problems(spec, spec_cel.check):
        fix = "write a condition in CEL over record, old and input"
        yield outside("readiness", "cel", problem.path, problem.message, fix)


def _port(spec: Spec, views: Views) -> Iterator[Lost]:
    if spec.port is None:
        return
    taken = {base: name for name, base in BASE_PORTS.items()}
    taken |= {row.base: row.service_name for row in views.all(IN_USE, kind="port")}
    wanted = set(_group(spec.port))
    for base, name in taken.items():
        if name != spec.service_name and wanted.intersection(_group(base)):
            message = f"{spec.port} and its group overlap with {name} on {base}"
            yield outside("udc", "port", "port", message, "leave the port out, or choose another")
            return


def _group(base: int) -> Iterable[int]:
    return range(base, base + INSTANCES * PORT_STEP, PORT_STEP)


def _dependencies(spec: Spec, views: Views) -> Iterator[Lost]:
    known = {*BASE_PORTS, *(row.service_name for row in views.all(IN_USE, kind="service"))}
    missing = [name for name in spec.dependencies if name not in known]
    for name in missing:
        lost = outside(
            "udc", "dependency", f"dependencies[{spec.dependencies.index(name)}]",
            f"no service {name} is registered", "register it first, or drop the dependency",
        )  # fmt: skip
        yield Lost(
            part=lost.part, rule=lost.rule, place=lost.place, severity="warning",
            message=lost.message, fix=lost.fix, share=lost.share / len(spec.dependencies),
        )  # fmt: skip
