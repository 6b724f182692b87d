"""Topics stay where they are: buckets are stable for ever, and no unit's name can reach into another's tree."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.topics import BATCH, BUCKETS, COMMAND, RECEIPT, TOPICS, UNIT_NAME, bucket_of, unit_of

ALLOWED = string.ascii_letters + string.digits + "-_"
names = st.text(ALLOWED, min_size=3, max_size=32).filter(lambda name: name[0] not in "-_")

ODD = [
    "",
    "ab",
    "a" * 33,
    "-abc",
    "_abc",
    "+",
    "#",
    "+++",
    "dev-+",
    "dev-#",
    "a/b",
    "a/b/c",
    "pw/1/fa/PW000001/batch",
    "server.ingest",
    "$SYS",
    "PW 000001",
    "PW000001\n",
    "\nPW000001",
    "PW000001\x00",
    "PW0000０1",
    "辽A12345",
    "ﬀﬀﬀ",
    "%u%",
    "{unit}",
]


@pytest.mark.parametrize(
    ("unit", "bucket"),  # printf PW000001 | sha256sum | cut -c1-2
    [("PW000001", "fa"), ("PW000002", "7d"), ("abc", "ba"), ("a-b_c", "0b"), ("Z" * 32, "60"), ("0001", "88")],
)
def test_buckets_are_stable(unit: str, bucket: str) -> None:
    assert bucket_of(unit) == bucket
    assert BATCH.of(unit) == f"pw/1/{bucket}/{unit}/batch"
    assert RECEIPT.of(unit) == f"pw/1/{bucket}/{unit}/receipt"
    assert COMMAND.of(unit) == f"pw/1/{bucket}/{unit}/command"


def test_buckets_are_all_used_and_no_others() -> None:
    assert {bucket_of(f"PW{n:06}") for n in range(4000)} == {f"{n:02x}" for n in range(BUCKETS)}


@given(names)
def test_a_batch_topic_tells_its_unit(name: str) -> None:
    assert unit_of(BATCH.of(name)) == name
    assert unit_of(RECEIPT.of(name)) is None
    assert unit_of(COMMAND.of(name)) is None


@pytest.mark.parametrize("name", ODD)
def test_odd_names_have_no_topic(name: str) -> None:
    for topic in TOPICS:
        with pytest.raises(ValueError, match="cannot be a unit's name"):
            topic.of(name)
    assert unit_of(BATCH.pattern.format(bucket=bucket_of(name), unit=name)) is None


def test_the_longest_and_shortest_names() -> None:
    assert [bool(UNIT_NAME.fullmatch("a" * n)) for n in (2, 3, 32, 33)] == [False, True, True, False]


@given(st.text(max_size=40))
def test_a_name_that_is_allowed_holds_only_what_is_allowed(name: str) -> None:
    allowed = 3 <= len(name) <= 32 and name[0] not in "-_" and set(name) <= set(ALLOWED)
    assert bool(UNIT_NAME.fullmatch(name)) == allowed


@pytest.mark.parametrize(
    "topic",
    [
        "pw/1/fb/PW000001/batch",  # the next bucket
        "pw/1/FA/PW000001/batch",
        "pw/1//PW000001/batch",
        "pw/2/fa/PW000001/batch",
        "px/1/fa/PW000001/batch",
        "/pw/1/fa/PW000001/batch",
        "pw/1/fa/PW000001/batch/",
        "pw/1/fa/PW000001/batch/more",
        "pw/1/fa/PW000001",
        "pw/1/fa/PW000001/receipt",
        "pw/1/fa/+/batch",
        "PW000001",
        "",
        "////",
    ],
)
def test_topics_that_are_none(topic: str) -> None:
    assert unit_of(topic) is None


def test_subscriptions() -> None:
    assert BATCH.everywhere() == "pw/1/+/+/batch"
    assert RECEIPT.everywhere() == "pw/1/+/+/receipt"
    assert COMMAND.everywhere() == "pw/1/+/+/command"
    assert BATCH.everywhere("fa") == "pw/1/fa/+/batch"


def test_the_table() -> None:
    """Batches and commands at least once; a lost receipt only costs a batch sent again. Retained would come back."""
    assert {topic.name: (topic.direction, topic.qos, topic.retain) for topic in TOPICS} == {
        "batch": ("up", 1, False),
        "receipt": ("down", 0, False),
        "command": ("down", 1, False),
    }
    assert len({topic.name for topic in TOPICS}) == len({topic.pattern for topic in TOPICS}) == len(TOPICS)
