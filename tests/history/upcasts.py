"""An event that has changed twice, as it would be in the domain: only its newest class is left.

v1  {person: "Ada Lovelace", celsius: 21.5}
v2  {first, last, celsius}            a field is split
v3  {first, last, kelvin, note: ""}   a unit changes, a field with a default is added
"""

from typing import ClassVar, Literal

from domain.event import Event
from domain.upcast import Data, upcaster


class RoomMeasured(Event):
    context: ClassVar[str] = "testroom"
    key: ClassVar[str] = "room"

    type: Literal["RoomMeasured.v3"] = "RoomMeasured.v3"
    room: str
    first: str
    last: str
    kelvin: float
    note: str = ""


@upcaster("phoenix.testroom.RoomMeasured.v1", "phoenix.testroom.RoomMeasured.v2")
def split_the_name(data: Data) -> Data:
    first, _, last = data["person"].partition(" ")
    return {**{k: v for k, v in data.items() if k != "person"}, "first": first, "last": last}


@upcaster("phoenix.testroom.RoomMeasured.v2", "phoenix.testroom.RoomMeasured.v3")
def to_kelvin(data: Data) -> Data:
    rest = {k: v for k, v in data.items() if k != "celsius"}
    return {**rest, "kelvin": data["celsius"] + 273.15}
