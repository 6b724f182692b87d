"""Enrol many units from a list: a delivery of boxes, or the fleet of a load test.

The list is CSV (RFC 4180, UTF-8) with a header: `unit`, `vin` and `csr` or `public_key` (a path from the list's own
folder), and, where known, `plate` and `label`. Each unit is enrolled as `pledgewatch fleet add` does it, with a bundle
of its own. Doing it again after an error is mended does no harm: known units only get fresh certificates.
"""

import csv
import datetime as dt
import json
from collections.abc import Sequence
from pathlib import Path

from server.config import BrokerSettings
from server.fleet.authority import Authority, AuthorityError, read_public_key
from server.fleet.enrolment import VIN, Enrolment, enrol
from server.store.db import Store
from wire.topics import UNIT_NAME

_NEEDED = ("unit", "vin")
_KEYS = ("csr", "public_key")
_OPTIONAL = ("plate", "label")


def read_list(path: Path, lender: str) -> list[Enrolment]:
    """The whole list, each line checked before any of them is enrolled.

    Raises:
        AuthorityError: a line that cannot be, with its number; a unit that is named twice.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets write a byte order mark
            reader = csv.DictReader(file, strict=True)
            _require_columns(path, reader.fieldnames or ())
            wanted: list[Enrolment] = []
            known: dict[str, int] = {}
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                each = _enrolment(where, row, path.parent, lender)
                if each.unit in known:
                    raise AuthorityError(f"{where}: {each.unit} stands in line {known[each.unit]} already")
                known[each.unit] = reader.line_num
                wanted.append(each)
    except (csv.Error, UnicodeDecodeError) as error:
        raise AuthorityError(f"{path} is no list in CSV and UTF-8: {error}") from None
    if not wanted:
        raise AuthorityError(f"{path} names no unit")
    return wanted


def enrol_many(
    store: Store,
    authority: Authority,
    broker: BrokerSettings,
    wanted: Sequence[Enrolment],
    out: Path,
    now: dt.datetime,
) -> int:
    """Enrol them in order and write each bundle to `out/UNIT.json`; returns how many.

    Raises:
        AuthorityError: a unit that is known otherwise; those before it are enrolled, and have their bundles.
    """
    out.mkdir(parents=True, exist_ok=True)
    for done, each in enumerate(wanted):
        try:
            bundle = enrol(store, authority, broker, each, now)
        except AuthorityError as error:
            raise AuthorityError(f"{each.unit}: {error} ({done} of {len(wanted)} are enrolled)") from None
        (out / f"{each.unit}.json").write_text(json.dumps(bundle, indent=1), encoding="utf-8")
    return len(wanted)


def _require_columns(path: Path, names: Sequence[str]) -> None:
    missing = [name for name in _NEEDED if name not in names]
    if not any(name in names for name in _KEYS):
        missing.append(" or ".join(_KEYS))
    if missing:
        raise AuthorityError(f"{path} has no column {', '.join(missing)}; its first line names the columns")
    unknown = [name for name in names if name not in (*_NEEDED, *_KEYS, *_OPTIONAL)]
    if unknown:
        known = ", ".join((*_NEEDED, *_KEYS, *_OPTIONAL))
        raise AuthorityError(f"{path}: no column is called {unknown[0]!r}; there are {known}")


def _enrolment(where: str, row: dict[str, str | None], folder: Path, lender: str) -> Enrolment:
    values = {name: (value or "").strip() for name, value in row.items() if isinstance(name, str)}
    unit, vin = values["unit"], values["vin"].upper()
    if not UNIT_NAME.fullmatch(unit):
        raise AuthorityError(f"{where}: {unit!r} cannot be a unit's name: 3 to 32 letters, digits, '-' or '_'")
    if not VIN.fullmatch(vin):
        raise AuthorityError(f"{where}: {vin!r} is not a VIN: 17 letters and digits without I, O and Q (ISO 3779)")
    key_path = folder / (values.get("csr") or values.get("public_key") or "")
    try:
        key_pem = key_path.read_bytes()
        read_public_key(key_pem, unit)
    except OSError as error:
        raise AuthorityError(f"{where}: {key_path}: {error.strerror or error}") from None
    except AuthorityError as error:
        raise AuthorityError(f"{where}: {error}") from None
    return Enrolment(lender, vin, unit, key_pem, values.get("plate") or None, values.get("label") or None)
