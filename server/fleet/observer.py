"""`pledgewatch observer`: what a test bench needs to read every unit's batches, and nothing with which it could write.

Folder: `observer.key` and `observer.crt` (client of the broker), `authority.crt`, and `observer.json`: where the broker
is, and each active unit's public key, against which the judge checks the seals.
"""

import base64
import datetime as dt
import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from server.config import BrokerSettings
from server.fleet.authority import OBSERVER_NAME, Authority, read_private_key, write_private_key
from server.store import fleet_rows
from server.store.db import Store


def make_observer(store: Store, authority: Authority, broker: BrokerSettings, folder: Path, now: dt.datetime) -> int:
    """Write the folder, or write it anew with the same key: units that were enrolled since are in it then.

    Returns:
        How many units it can read.

    Raises:
        AuthorityError: a key is there that cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "observer.key"
    if not path.exists():
        write_private_key(path, Ed25519PrivateKey.generate())
    issued = authority.issue_observer(read_private_key(path).public_key(), now)
    with store.read() as connection:
        active = [line.name for line in fleet_rows.all_units(connection) if line.active]
        keys = fleet_rows.keys_of(connection, active)
    (folder / "observer.crt").write_text(issued.pem, encoding="utf-8")
    (folder / "authority.crt").write_text(authority.root_pem, encoding="utf-8")
    told = {
        "name": OBSERVER_NAME,
        "broker": {"host": broker.public_host, "port": broker.port, "tls": broker.tls},
        "units": {name: base64.b64encode(key.public_bytes_raw()).decode() for name, key in keys.items()},
    }
    (folder / "observer.json").write_text(json.dumps(told, indent=1), encoding="utf-8")
    return len(keys)
