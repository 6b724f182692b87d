"""docs/asyncapi.yaml says what the code says: every topic, reason and event kind is in both, or this fails."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from wire import commands as table
from wire import telemetry_pb2, topics
from wire.codec import MAX_SAMPLES
from wire.records import EVENT_KINDS
from wire.refused import Reason
from wire.seal import BATCH_PURPOSE, COMMAND_PURPOSE, MAX_BODY_BYTES, MAX_SEALED_BYTES, RECEIPT_PURPOSE, VERSION
from wire.topics import BATCH, COMMAND, RECEIPT, TOPICS, Topic

PATH = Path(__file__).parents[2] / "docs" / "asyncapi.yaml"
DOCUMENT: dict[str, Any] = yaml.safe_load(PATH.read_text(encoding="utf-8"))
ACTIONS = {"send": "up", "receive": "down"}  # AsyncAPI 3 speaks from the application's view, here the unit's
PURPOSES = {BATCH.name: BATCH_PURPOSE, RECEIPT.name: RECEIPT_PURPOSE, COMMAND.name: COMMAND_PURPOSE}

# The parts of AsyncAPI 3.0 that this document uses, after https://www.asyncapi.com/docs/reference/specification/v3.0.0
_REFERENCE = {"type": "object", "required": ["$ref"], "properties": {"$ref": {"type": "string"}}, "maxProperties": 1}
_NAME = r"^[\w\d.\-_]+$"
SCHEMA = {
    "type": "object",
    "required": ["asyncapi", "info", "servers", "channels", "operations", "components"],
    "properties": {
        "asyncapi": {"const": "3.0.0"},
        "info": {
            "type": "object",
            "required": ["title", "version"],
            "properties": {"title": {"type": "string"}, "version": {"type": "string"}},
        },
        "defaultContentType": {"type": "string"},
        "servers": {
            "minProperties": 1,
            "propertyNames": {"pattern": _NAME},
            "additionalProperties": {"type": "object", "required": ["host", "protocol", "security"]},
        },
        "channels": {
            "propertyNames": {"pattern": _NAME},
            "additionalProperties": {
                "type": "object",
                "required": ["address", "messages", "parameters", "servers"],
                "properties": {
                    "address": {"type": "string"},
                    "title": {"type": "string"},
                    "description": {"type": "string"},
                    "servers": {"type": "array", "items": _REFERENCE},
                    "messages": {"minProperties": 1, "additionalProperties": _REFERENCE},
                    "parameters": {"additionalProperties": _REFERENCE},
                },
                "additionalProperties": False,
            },
        },
        "operations": {
            "propertyNames": {"pattern": _NAME},
            "additionalProperties": {
                "type": "object",
                "required": ["action", "channel", "messages", "bindings"],
                "properties": {
                    "action": {"enum": ["send", "receive"]},
                    "title": {"type": "string"},
                    "channel": _REFERENCE,
                    "messages": {"type": "array", "items": _REFERENCE},
                    "bindings": {
                        "type": "object",
                        "required": ["mqtt"],
                        "properties": {
                            "mqtt": {
                                "required": ["qos", "retain", "bindingVersion"],
                                "properties": {"qos": {"enum": [0, 1, 2]}, "retain": {"type": "boolean"}},
                            }
                        },
                    },
                },
                "additionalProperties": False,
            },
        },
        "components": {"type": "object", "required": ["messages", "parameters", "securitySchemes"]},
    },
    "additionalProperties": False,
}


def resolve(reference: dict[str, str]) -> Any:
    """What a `$ref` inside the document points to; the path of the file for one outside."""
    target = reference["$ref"]
    if not target.startswith("#/"):
        found = (PATH.parent / target).resolve()
        assert found.is_file(), target
        return found
    here: Any = DOCUMENT
    for part in target[2:].split("/"):
        here = here[part]
    return resolve(here) if "$ref" in here else here


def references(part: Any) -> list[dict[str, str]]:
    if isinstance(part, dict) and "$ref" in part:
        return [part]
    parts = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    return [found for each in parts for found in references(each)]


def message_of(topic: Topic) -> dict[str, Any]:
    found: dict[str, Any] = resolve(DOCUMENT["channels"][topic.name]["messages"][topic.payload])
    return found


every_topic = pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)


def test_it_is_asyncapi() -> None:
    jsonschema.validate(DOCUMENT, SCHEMA)


def test_every_reference_leads_somewhere() -> None:
    found = references(DOCUMENT)
    assert len(found) > 10
    for reference in found:
        assert resolve(reference)


def test_channels_and_operations_are_the_table() -> None:
    names = {topic.name for topic in TOPICS}
    assert DOCUMENT["channels"].keys() == names
    assert DOCUMENT["operations"].keys() == names
    assert DOCUMENT["components"]["messages"].keys() == {topic.payload for topic in TOPICS}


@every_topic
def test_a_topic(topic: Topic) -> None:
    channel, operation = DOCUMENT["channels"][topic.name], DOCUMENT["operations"][topic.name]
    mqtt = operation["bindings"]["mqtt"]
    assert resolve(operation["channel"]) is channel
    assert [list(channel["messages"])] == [[topic.payload]] == [[operation["messages"][0]["$ref"].split("/")[-1]]]
    told = Topic(
        topic.name, channel["address"], ACTIONS[operation["action"]], mqtt["qos"], mqtt["retain"], topic.payload
    )
    assert told == topic
    assert topic.pattern.format(**{name: f"{{{name}}}" for name in channel["parameters"]}) == channel["address"]


@every_topic
def test_a_payload(topic: Topic) -> None:
    message = message_of(topic)
    assert message["payload"]["schemaFormat"] == "application/vnd.google.protobuf;version=3"
    assert resolve(message["payload"]["schema"]) == (PATH.parents[1] / "wire" / "telemetry.proto")
    in_schema = {each.full_name for each in telemetry_pb2.DESCRIPTOR.message_types_by_name.values()}
    named = {message["x-message"], message["x-content"]}
    assert named <= in_schema
    assert named == {"pledgewatch.wire.Sealed", f"pledgewatch.wire.{topic.payload}"}
    assert message["x-purpose"].encode() + b"\x00" == PURPOSES[topic.name]
    assert (message["x-version"], message["x-max-bytes"]) == (VERSION, MAX_SEALED_BYTES)


def test_limits_of_a_body() -> None:
    message = message_of(BATCH)
    assert (message["x-max-body-bytes"], message["x-max-samples"]) == (MAX_BODY_BYTES, MAX_SAMPLES)


def test_parameters() -> None:
    parameters = DOCUMENT["components"]["parameters"]
    assert parameters["unit"]["x-pattern"] == topics.UNIT_NAME.pattern
    assert parameters["bucket"]["x-buckets"] == topics.BUCKETS
    assert parameters["bucket"]["examples"] == [topics.bucket_of(unit) for unit in parameters["unit"]["examples"]]


def test_every_reason_is_documented_and_no_other() -> None:
    told = message_of(BATCH)["x-refusals"]
    assert told.keys() == {str(reason) for reason in Reason}
    assert all(isinstance(text, str) and text for text in told.values())


def test_every_event_kind_is_documented_and_no_other() -> None:
    told = message_of(BATCH)["x-events"]
    assert told.keys() == EVENT_KINDS.keys()
    assert all(isinstance(text, str) and text for text in told.values())


def test_every_command_is_documented_and_no_other() -> None:
    told = message_of(COMMAND)["x-commands"]
    assert told.keys() == table.COMMANDS.keys()
    for kind, row in table.COMMANDS.items():
        bounds = {
            each.name: {
                name: value
                for name, value in (("low", each.low), ("high", each.high), ("default", each.default))
                if value is not None
            }
            for each in row.parameters
        }
        assert told[kind]["about"], kind
        assert told[kind]["parameters"] == bounds, kind


def test_what_a_unit_answers_is_documented() -> None:
    message = message_of(COMMAND)
    assert message["x-outcomes"].keys() == {str(each) for each in table.Outcome}
    assert message["x-command-refusals"].keys() == {str(each) for each in table.Refusal}
    limits = (message["x-max-life-ms"], message["x-max-parameters"], message["x-max-characters"])
    assert limits == (table.MAX_LIFE_MS, table.MOST_PARAMETERS, table.LONGEST_TEXT)


def test_the_security_is_by_certificate() -> None:
    broker = DOCUMENT["servers"]["broker"]
    assert (broker["protocol"], broker["protocolVersion"]) == ("secure-mqtt", "3.1.1")
    assert [resolve(each)["type"] for each in broker["security"]] == ["X509"]
