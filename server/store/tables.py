"""The schema, in SQLAlchemy Core. Migrations in `migrations/versions` build it; a test holds the two together.

Every row belongs to a lender. Times are UTC milliseconds (`*_ms`), positions WGS-84 degrees, digests SHA-256.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)
# SQLite numbers rows only in an INTEGER key; PostgreSQL wants 64 bits.
_row_id = BigInteger().with_variant(Integer, "sqlite")


def _id() -> Column[int]:
    return Column("id", _row_id, primary_key=True, autoincrement=True)


def _lender(*, nullable: bool = False) -> Column[int]:
    return Column("lender_id", _row_id, ForeignKey("lenders.id"), nullable=nullable, index=True)


def _to(name: str, target: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, _row_id, ForeignKey(target), nullable=nullable)


lenders = Table(
    "lenders",
    metadata,
    _id(),
    Column("name", String(80), nullable=False, unique=True),
    Column("time_zone", String(64), nullable=False, server_default="Asia/Shanghai"),
)

users = Table(
    "users",
    metadata,
    _id(),
    _lender(),
    Column("login", String(80), nullable=False, unique=True),
    Column("password_hash", String(200), nullable=False),
    Column("locale", String(16), nullable=False, server_default="zh_Hans_CN"),
    Column("active", Boolean, nullable=False, server_default="1"),
)

vehicles = Table(
    "vehicles",
    metadata,
    _id(),
    _lender(),
    Column("vin", String(17), nullable=False),
    Column("plate", String(16)),
    Column("label", String(80)),
    UniqueConstraint("lender_id", "vin"),
)

units = Table(
    "units",
    metadata,
    _id(),
    _lender(),
    Column("name", String(32), nullable=False, unique=True),
    Column("public_key", LargeBinary, nullable=False),  # 32 bytes, Ed25519
    Column("active", Boolean, nullable=False, server_default="1"),
    Column("enrolled_ms", BigInteger, nullable=False),
)

unit_assignments = Table(
    "unit_assignments",
    metadata,
    _id(),
    _lender(),
    _to("unit_id", "units.id"),
    _to("vehicle_id", "vehicles.id"),
    Column("since_ms", BigInteger, nullable=False),
    Column("until_ms", BigInteger),  # open end: where the unit is now
    Index("ix_unit_assignments_unit", "unit_id", "since_ms"),
)

certificates = Table(
    "certificates",
    metadata,
    _id(),
    _lender(),
    _to("unit_id", "units.id"),
    Column("serial", String(48), nullable=False, unique=True),
    Column("pem", Text, nullable=False),
    Column("not_after_ms", BigInteger, nullable=False),
)

# One outbox of one unit; the one with the highest number is open, the others are closed.
boots = Table(
    "boots",
    metadata,
    _id(),
    _lender(),
    _to("unit_id", "units.id"),
    Column("boot", LargeBinary, nullable=False),
    Column("number", Integer, nullable=False),
    Column("first_seen_ms", BigInteger, nullable=False),
    Column("redelivered", BigInteger, nullable=False, server_default="0"),  # arrivals that were stored already
    Column("implausible", BigInteger, nullable=False, server_default="0"),  # values that no car can have (columns.py)
    UniqueConstraint("unit_id", "boot"),
)

# One row a batch; `sealed` is what the unit signed, byte for byte. Which sequences are here is said by received_ranges,
# since a unique index cannot span the time partitions that this table gets on PostgreSQL.
batches = Table(
    "batches",
    metadata,
    _id(),
    _lender(),
    _to("unit_id", "units.id"),
    _to("vehicle_id", "vehicles.id", nullable=True),
    _to("boot_id", "boots.id"),
    Column("sequence", BigInteger, nullable=False),
    Column("arrived_ms", BigInteger, nullable=False),
    Column("first_time_ms", BigInteger),  # of its samples, by event time; null where none knew the time
    Column("last_time_ms", BigInteger),
    Column("samples", Integer, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("kernel_boot", BigInteger),  # which run of the unit's monotonic clock; null in rows from before 0002
    Column("timeless", Integer, nullable=False, server_default="0"),  # records that have no event time of their own
    Index("ix_batches_boot_sequence", "boot_id", "sequence"),
    Index("ix_batches_vehicle_time", "vehicle_id", "last_time_ms"),
    Index(
        "ix_batches_timeless",
        "unit_id",
        "kernel_boot",
        postgresql_where=text("timeless > 0"),
        sqlite_where=text("timeless > 0"),
    ),
)

# How one run of a unit's monotonic clock is tied to UTC: UTC ms = monotonic ms + offset_ms. One row a kernel boot; it
# holds for its records without event time, whenever they come (server/watch/retiming.py).
retimings = Table(
    "retimings",
    metadata,
    Column("unit_id", _row_id, ForeignKey("units.id"), primary_key=True),
    Column("kernel_boot", BigInteger, primary_key=True),
    _lender(),
    Column("offset_ms", BigInteger, nullable=False),
    Column("at_mono_ms", BigInteger, nullable=False),  # where it was measured: the uncertainty grows from there
    Column("uncertainty_ms", BigInteger, nullable=False),
    Column("source", Integer, nullable=False),  # TimeQuality: 1 GNSS, 2 NTP
    _to("batch_id", "batches.id"),  # the batch that told it
    Column("made_ms", BigInteger, nullable=False),
    Column("contradictions", BigInteger, nullable=False, server_default="0"),  # batches that told something else
    Column("other_offset_ms", BigInteger),  # what the newest of those told, or what was given up for a better source
    _to("other_batch_id", "batches.id", nullable=True),
)

received_ranges = Table(
    "received_ranges",
    metadata,
    Column("boot_id", _row_id, ForeignKey("boots.id"), primary_key=True),
    Column("first", BigInteger, primary_key=True),
    Column("last", BigInteger, nullable=False),
    _lender(),
    # What the batch `first` names as the one before it, and what the batch after `last` will have to name. Null in rows
    # from before 0005: then the batches themselves tell.
    Column("first_link", LargeBinary),
    Column("last_link", LargeBinary),
)

vehicle_states = Table(
    "vehicle_states",
    metadata,
    Column("vehicle_id", _row_id, ForeignKey("vehicles.id"), primary_key=True),
    _lender(),
    _to("unit_id", "units.id"),
    Column("arrived_ms", BigInteger, nullable=False),  # when the server last heard of the vehicle
    Column("sample_time_ms", BigInteger),  # newest sample that is not from the future
    Column("fix_time_ms", BigInteger),  # newest sample with a position
    Column("lat_deg", Float),
    Column("lon_deg", Float),
    Column("speed_mps", Float),
    Column("course_deg", Float),
    Column("fix_quality", Integer),
    Column("satellites_used", Integer),
    Column("hdop", Float),
    Column("position_source", Integer),  # wire.records.PositionSource; null: the receiver's own
    Column("position_accuracy_m", Float),  # of a rough position: from a cell or Wi-Fi
    Column("obd_time_ms", BigInteger),  # newest sample with any OBD value
    Column("obd_speed_kmh", Float),
    Column("engine_rpm", Float),
    Column("coolant_temp_c", Float),
    Column("module_voltage_v", Float),
    Column("fuel_level_pct", Float),
    Column("odometer_km", Float),
    Column("mil_on", Integer),
    Column("dtc_count", Integer),
    Column("obd_times_ms", JSON, nullable=False),  # {name: event time} of each OBD value
    Column("samples", BigInteger, nullable=False),
    Column("future_samples", BigInteger, nullable=False),  # stored, and ignored here
)

events = Table(
    "events",
    metadata,
    _id(),
    _lender(),
    _to("unit_id", "units.id"),
    _to("vehicle_id", "vehicles.id", nullable=True),
    _to("batch_id", "batches.id"),
    Column("kind", String(40), nullable=False),
    Column("time_ms", BigInteger),
    Column("arrived_ms", BigInteger, nullable=False),
    Column("details", Text, nullable=False),  # JSON object of texts
    Column("mono_ms", BigInteger),  # on the unit's monotonic clock; null in rows from before 0002, as the next one
    Column("time_quality", Integer),  # TimeQuality, as the unit told it
    Column("uncertainty_ms", BigInteger),  # of a time that was made by re-timing; null: the unit's own
    Index("ix_events_vehicle_time", "vehicle_id", "time_ms"),
    Index("ix_events_batch", "batch_id"),
)

gaps = Table(
    "gaps",
    metadata,
    _id(),
    _lender(),
    _to("unit_id", "units.id"),
    _to("batch_id", "batches.id"),
    Column("boot", LargeBinary, nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("samples", BigInteger, nullable=False),
    Column("reason", String(80), nullable=False),
    Index("ix_gaps_unit_boot", "unit_id", "boot"),
)

# What the unit counts of its own inputs since it started ("gnss.refused.checksum"), as its newest batch told it: late
# batches do not bring old numbers back, and a restart may begin again from nothing.
unit_counts = Table(
    "unit_counts",
    metadata,
    Column("unit_id", _row_id, ForeignKey("units.id"), primary_key=True),
    Column("name", String(80), primary_key=True),
    _lender(),
    Column("value", BigInteger, nullable=False),
    Column("boot_number", Integer, nullable=False),  # the batch that told it
    Column("sequence", BigInteger, nullable=False),
)

# Facts on their way into the ledger: written with the fact, merged afterwards.
ledger_pending = Table(
    "ledger_pending",
    metadata,
    _id(),
    _lender(),
    Column("kind", String(40), nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("written_ms", BigInteger, nullable=False),
)

# How often what was refused, by whom (a topic is a unit's) and why.
refusals = Table(
    "refusals",
    metadata,
    Column("topic", String(200), primary_key=True),
    Column("reason", String(40), primary_key=True),
    _lender(nullable=True),  # null where nobody knows whose it is
    Column("times", BigInteger, nullable=False),
    Column("kept", BigInteger, nullable=False),  # rows of `quarantine` that were made for it
    Column("first_ms", BigInteger, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
)

# Bytes that were refused, once each, however often they came; of one topic and reason only so many.
quarantine = Table(
    "quarantine",
    metadata,
    _id(),
    _lender(nullable=True),
    Column("topic", String(200), nullable=False),
    Column("reason", String(40), nullable=False),
    Column("detail", String(300), nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("bytes", LargeBinary, nullable=False),  # cut at the size limit
    Column("size", BigInteger, nullable=False),
    Column("first_ms", BigInteger, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
    Column("times", BigInteger, nullable=False),
    Column("settled_ms", BigInteger),  # when it was taken in after all
    Column("outcome", String(20)),  # and what became of it then: "stored" or "redelivered"
    UniqueConstraint("digest", "topic", "reason"),
    Index("ix_quarantine_topic_reason", "topic", "reason"),
)

# What people asked of units, why, and what came of it. `sealed` is made when the command is first sent, and sent again
# byte for byte until there is an outcome.
commands = Table(
    "commands",
    metadata,
    _id(),
    _lender(),
    _to("unit_id", "units.id"),
    _to("vehicle_id", "vehicles.id", nullable=True),  # where the unit sat when the order was given
    _to("user_id", "users.id", nullable=True),  # null: given at the server's console
    _to("batch_id", "batches.id", nullable=True),  # which brought the answer
    Column("command_id", LargeBinary, nullable=False, unique=True),
    Column("kind", String(40), nullable=False),
    Column("parameters", JSON, nullable=False),  # object of texts
    Column("issued_by", String(80), nullable=False),
    Column("reason", String(300), nullable=False),
    Column("issued_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("sealed", LargeBinary),
    Column("sends", Integer, nullable=False),
    Column("sent_ms", BigInteger),
    Column("next_send_ms", BigInteger),  # null: not again
    Column("answered_ms", BigInteger),
    Column("outcome", String(40)),
    Column("answer", String(300), nullable=False, server_default=""),
    Index("ix_commands_unit", "unit_id", "id"),
    Index("ix_commands_vehicle", "vehicle_id", "id"),
    Index("ix_commands_next_send_ms", "next_send_ms"),
)

# Processes of the server, as they told of themselves last: times by the database's clock. No lender's data.
workers = Table(
    "workers",
    metadata,
    Column("name", String(80), primary_key=True),
    Column("kind", String(20), nullable=False),  # "ingest"
    Column("host", String(80), nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("seen_ms", BigInteger, nullable=False),
    Column("figures", JSON, nullable=False),  # object of numbers (server/intake.py)
)

# Which ingest takes in the units of a bucket (wire/topics.py), and until when unless it says so again.
bucket_leases = Table(
    "bucket_leases",
    metadata,
    Column("bucket", Integer, primary_key=True, autoincrement=False),
    Column("worker", String(80)),
    Column("until_ms", BigInteger, nullable=False),
)
