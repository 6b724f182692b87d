"""The Mosquitto configuration that goes with our authority: mutual TLS, one topic tree a unit, its answers only by us.

Each line answers an attack that was tried (`docs/decisions/0003-broker.md`): a certificate's name is the user name and
the client id, so that nobody connects under another's id; access goes by that name, so that nobody writes another's
batches or reads another's receipts and commands; and only the ingest may write those.
"""

import getpass
from pathlib import Path

from server.config import MOST_WORKERS
from server.fleet.authority import OBSERVER_NAME, ingest_name
from wire.seal import MAX_SEALED_BYTES
from wire.topics import BATCH, COMMAND, RECEIPT


def write_mosquitto(folder: Path, authority: Path, host: str, port: int) -> Path:
    """Write `mosquitto.conf` and `access.acl` into `folder`; returns the path of the first."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "persistence").mkdir(exist_ok=True)
    (folder / "access.acl").write_text(_access(), encoding="utf-8")
    path = folder / "mosquitto.conf"
    path.write_text(_configuration(folder.absolute(), authority.absolute(), host, port), encoding="utf-8")
    for file in (path, folder / "access.acl"):
        file.chmod(0o600)
    return path


def _configuration(folder: Path, authority: Path, host: str, port: int) -> str:
    return f"""# Written by 'pledgewatch broker-config'; change the server's settings and write it again.
user {getpass.getuser()}
listener {port} {host}
cafile {authority}/authority.crt
certfile {authority}/broker.crt
keyfile {authority}/broker.key
tls_version tlsv1.3
require_certificate true
use_identity_as_username true
# A client id is the certificate's name: else any unit could throw another off by using its id.
use_username_as_clientid true
allow_anonymous false
allow_zero_length_clientid false
# A receipt follows an acknowledgement within milliseconds: held back by Nagle's algorithm it costs 40 ms and a packet.
set_tcp_nodelay true
acl_file {folder}/access.acl

# The queue for a server that is away. The broker may drop beyond it: units keep what has no receipt.
persistence true
persistence_location {folder}/persistence/
autosave_interval 30
# One commit of the ingest at a time: it acknowledges what it has stored, all at once.
max_inflight_messages 1000
max_queued_messages 100000
max_queued_bytes 268435456
max_packet_size {MAX_SEALED_BYTES + 1024}
persistent_client_expiration 60d

log_dest stderr
log_type error
log_type warning
log_type notice
connection_messages true
"""


def _access() -> str:
    own_batch = BATCH.pattern.format(bucket="+", unit="%u")
    own_receipt = RECEIPT.pattern.format(bucket="+", unit="%u")
    own_command = COMMAND.pattern.format(bucket="+", unit="%u")
    ingests = "\n".join(
        f"user {ingest_name(number)}\n"
        f"topic read {BATCH.everywhere()}\n"
        f"topic write {RECEIPT.everywhere()}\n"
        f"topic write {COMMAND.everywhere()}\n"
        for number in range(1, MOST_WORKERS + 1)
    )
    return f"""# A unit writes its own batches and reads its own receipts and commands, and nothing else.
pattern write {own_batch}
pattern read {own_receipt}
pattern read {own_command}

# The ingest's workers read all batches and alone write receipts and commands.
{ingests}
# A test bench's judge reads batches and can write nothing; 'pledgewatch observer' makes its certificate.
user {OBSERVER_NAME}
topic read {BATCH.everywhere()}
"""
