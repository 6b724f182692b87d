"""Enrol a unit: its key becomes known, it gets a certificate, and it is put into a vehicle."""

import base64
import datetime as dt
import re
from dataclasses import dataclass
from typing import Any

from server.config import BrokerSettings
from server.fleet.authority import Authority, AuthorityError, read_public_key
from server.store import fleet_rows, people_rows, vehicle_rows
from server.store.db import Store

# ISO 3779 and GB 16735: 17 characters without I, O and Q.
VIN = re.compile(r"[A-HJ-NPR-Z0-9]{17}")
BUNDLE_VERSION = 1


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What the installer gives: which box, in which car, for which lender. `key_pem` is a CSR or a public key."""

    lender: str
    vin: str
    unit: str
    key_pem: bytes
    plate: str | None = None
    label: str | None = None


def enrol(
    store: Store, authority: Authority, broker: BrokerSettings, wanted: Enrolment, now: dt.datetime
) -> dict[str, Any]:
    """Enrol a unit and return the bundle that it takes home: certificate, root, pinned receipt key, broker.

    Doing it again with the same key gives a fresh certificate; another vehicle of the lender moves the unit.

    Raises:
        AuthorityError: a VIN, name or key that cannot be, or a unit that is known otherwise.
    """
    vin = wanted.vin.upper()
    if not VIN.fullmatch(vin):
        raise AuthorityError(f"{wanted.vin!r} is not a VIN: 17 letters and digits without I, O and Q (ISO 3779)")
    key = read_public_key(wanted.key_pem, wanted.unit)
    issued = authority.issue_unit(wanted.unit, key, now)
    now_ms = int(now.timestamp() * 1000)
    try:
        with store.write() as connection:
            lender_id = people_rows.lender_id_of(connection, wanted.lender)
            vehicle_id = vehicle_rows.vehicle_id_of(connection, lender_id, vin, wanted.plate, wanted.label)
            unit_id = fleet_rows.put_unit(connection, lender_id, wanted.unit, key, now_ms)
            fleet_rows.assign(connection, lender_id, unit_id, vehicle_id, now_ms)
            not_after_ms = int(issued.not_after.timestamp() * 1000)
            fleet_rows.put_certificate(connection, lender_id, unit_id, issued.serial, issued.pem, not_after_ms)
    except ValueError as error:
        raise AuthorityError(str(error)) from None
    return {
        "bundle": BUNDLE_VERSION,
        "unit": wanted.unit,
        "vin": vin,
        "certificate": issued.pem,
        "authority": authority.root_pem,
        "receipt_keys": [base64.b64encode(authority.receipt_key.public_key().public_bytes_raw()).decode()],
        "broker": {"host": broker.public_host, "port": broker.port, "tls": broker.tls},
        "server_time_ms": now_ms,
    }
