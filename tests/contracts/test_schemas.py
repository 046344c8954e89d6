"""contracts/ and the departments' events.py describe the same data, in places and with names given by the types."""

import json
from typing import Any

import msgspec
import pytest
from jsonschema_rs import Draft202012Validator

from pulsecart.runtime.contracts import CONTRACTS_DIR, event_types, schema, schema_path
from pulsecart.runtime.event import CloudEvent, Message, schema_of
from tools.messages import MESSAGES

TYPES = sorted(event_types())
JSON_TYPES: dict[type[msgspec.inspect.Type], str] = {
    msgspec.inspect.StrType: "string",
    msgspec.inspect.IntType: "integer",
    msgspec.inspect.FloatType: "number",
    msgspec.inspect.BoolType: "boolean",
    msgspec.inspect.ListType: "array",
    msgspec.inspect.StructType: "object",
}


def test_every_message_has_a_contract_and_every_contract_a_message() -> None:
    messages = {message.TYPE for message in MESSAGES}
    assert messages - event_types() == set(), "add a schema under contracts/ for these"
    assert event_types() - messages == set(), "add a Struct to events.py of their department for these"


def test_every_message_class_is_listed_once() -> None:
    assert set(Message.__subclasses__()) == set(MESSAGES), "a Message outside of pulsecart/shop/<department>/events.py"
    assert len({message.TYPE for message in MESSAGES}) == len(MESSAGES)


@pytest.mark.parametrize("event_type", TYPES)
def test_a_schema_is_where_its_type_says_and_calls_itself_so(event_type: str) -> None:
    document = schema(event_type)
    assert document["$id"] == schema_of(event_type)
    assert schema_of(event_type).endswith("/contracts/" + schema_path(event_type).relative_to(CONTRACTS_DIR).as_posix())
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator(document, validate_formats=True)


def test_the_seeds_example_type_lies_in_the_seeds_directory() -> None:
    assert schema_path("ecommerce.order.order.created.v1") == CONTRACTS_DIR / "ecommerce/order/order.created.v1.json"


@pytest.mark.parametrize("event_type", TYPES)
def test_a_schema_lets_readers_meet_members_they_do_not_know(event_type: str) -> None:
    document = schema(event_type)
    assert document["additionalProperties"] is True
    example = {**document["examples"][0], "somethingNewer": 1}
    assert Draft202012Validator(document).is_valid(example)


@pytest.mark.parametrize("event_type", TYPES)
def test_a_schema_explains_itself_and_every_member(event_type: str) -> None:
    document = schema(event_type)
    assert document["title"]
    assert document["description"]
    for name, member in document["properties"].items():
        assert member.get("description") or _resolved(document, member).get("description"), f"describe {name}"


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.TYPE)
def test_a_message_and_its_schema_have_the_same_members_and_types(message: type[Message]) -> None:
    document = schema(message.TYPE)
    differences = list(_differences(msgspec.inspect.type_info(message), document, document, message.__name__))
    assert differences == []


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.TYPE)
def test_every_example_is_valid_and_survives_the_message_unchanged(message: type[Message]) -> None:
    document = schema(message.TYPE)
    assert len(document["examples"]) >= 2
    for example in document["examples"]:
        assert [e.message for e in Draft202012Validator(document, validate_formats=True).iter_errors(example)] == []
        decoded = msgspec.json.decode(json.dumps(example), type=message)
        again = msgspec.json.decode(msgspec.json.encode(decoded))
        assert {**again, **example} == again


def test_every_choice_of_an_enum_that_explains_itself_is_explained() -> None:
    for event_type in TYPES:
        for name, member in schema(event_type)["properties"].items():
            if name == "reason":
                assert [c for c in member["enum"] if c not in member["description"]] == [], f"{event_type}: say when"


def test_the_envelope_describes_every_attribute_of_our_events_and_its_examples() -> None:
    envelope = json.loads((CONTRACTS_DIR / "envelope.v1.json").read_text())
    validator = Draft202012Validator(envelope, validate_formats=True)
    event = CloudEvent(id="x", source="x", type="x", dataschema="x", subject="x")
    assert event.attributes().keys() <= envelope["properties"].keys()
    for example in envelope["examples"]:
        assert [error.message for error in validator.iter_errors(example)] == []
        assert Draft202012Validator(schema(example["type"])).is_valid(example["data"])
        assert example["dataschema"] == schema_of(example["type"])
        assert not validator.is_valid({**example, "sequence": "1"})


def _differences(info: Any, node: dict[str, Any], root: dict[str, Any], where: str) -> Any:
    """Yield one sentence per difference between the Struct and the schema."""
    node = _resolved(root, node)
    expected = JSON_TYPES[type(info)]
    if node.get("type") != expected:
        yield f"{where}: the message holds {expected}, the schema says {node.get('type')}"
    if isinstance(info, msgspec.inspect.ListType):
        yield from _differences(info.item_type, node.get("items", {}), root, f"{where}[]")
    if isinstance(info, msgspec.inspect.StructType):
        fields, members = {f.encode_name: f for f in info.fields}, node.get("properties", {})
        yield from (f"{where}.{name} is in one of the two only" for name in fields.keys() ^ members.keys())
        required = {name for name, field in fields.items() if field.required}
        if required != set(node.get("required", ())):
            yield f"{where}: the message requires {sorted(required)}, the schema {sorted(node.get('required', ()))}"
        for name in fields.keys() & members.keys():
            yield from _differences(fields[name].type, members[name], root, f"{where}.{name}")


def _resolved(root: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    reference = node.get("$ref")
    return root["$defs"][reference.rpartition("/")[2]] if reference else node
