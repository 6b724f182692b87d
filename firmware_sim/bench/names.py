"""The names that a story may use: cities and places of the roads, profiles of the adapter, kinds of the contract."""

from dataclasses import fields

from firmware_sim.adapter.profile import AdapterFaults
from firmware_sim.adapter.profiles import PROFILES
from firmware_sim.car.state import CarFaults
from firmware_sim.receiver.settings import ReceiverFaults
from firmware_sim.roads.cities import CITIES
from firmware_sim.roads.places import PLACES
from firmware_sim.story.reading import World
from wire.commands import COMMANDS
from wire.records import EVENT_KINDS

# Those that somebody is called for: `event = "*"` in [[never]].
ALARMS = (
    *("power_cut", "obd_unplugged", "wrong_vin", "collision", "tow", "gnss_lost", "position_disagrees"),
    *("low_battery", "mil_on"),
)
_FAULTS = {"receiver": ReceiverFaults, "adapter": AdapterFaults, "car": CarFaults}
WORLD = World(
    cities=tuple(CITIES),
    places=tuple(PLACES),
    events=tuple(EVENT_KINDS),
    alarms=ALARMS,
    profiles=tuple(PROFILES),
    commands=tuple(COMMANDS),
    faults=tuple(f"{part}.{each.name}" for part, kind in _FAULTS.items() for each in fields(kind)),
)
