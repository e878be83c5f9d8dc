"""What a SPEC alone does not show: CEL that does not compile, a trial generation that fails, names
and ports that are taken."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from domain.errors import DomainError
from domain.spec.check import cel_problems
from domain.spec.findings import Lost, outside
from domain.spec.model import Spec
from infra import spec_cel
from infra.generator.generate import generate, problems
from infra.ports import Views
from infra.settings import BASE_PORTS, PORT_STEP
from projections.specs import IN_USE

INSTANCES = 3


def losses(spec: Spec, views: Views) -> tuple[Lost, ...]:
    """Points that the SPEC loses for what stands around it."""
    cel = tuple(_cel(spec))
    trial = () if cel or not spec.records else tuple(_trial(spec))
    return (*cel, *trial, *_port(spec, views), *_dependencies(spec, views))


def _cel(spec: Spec) -> Iterator[Lost]:
    found = cel_problems(spec, spec_cel.check)
    for problem in found:
        fix = "write a condition in CEL over record, old and input"
        lost = outside("readiness", "cel", problem.path, problem.message, fix)
        yield replace(lost, share=lost.share / len(found))


def _trial(spec: Spec) -> Iterator[Lost]:
    """Generate the code once, without keeping it: what fails now need not fail in the build."""
    found = problems(spec)
    for problem in found:
        fix = "use fields, comparisons and functions that the generator knows"
        lost = outside("readiness", "trial", problem.path, problem.message, fix)
        yield replace(lost, share=lost.share / len(found))
    if found:
        return
    try:
        generate(spec, version=spec.version)
    except DomainError as error:
        yield outside("readiness", "trial", "", str(error), "change what the generator refuses")


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
        place = f"dependencies[{spec.dependencies.index(name)}]"
        fix = "register it first, or drop the dependency"
        lost = outside("udc", "dependency", place, f"no service {name} is registered", fix)
        yield replace(lost, severity="warning", share=lost.share / len(spec.dependencies))
