"""What we send is what the vendors' own libraries send: the same thing said twice leaves the same in the tool."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import httpx
import pytest
from amplitude import BaseEvent, Identify, IdentifyEvent
from facebook_business.adobjects.customaudience import CustomAudience
from google.ads.datamanager_util import Formatter
from hubspot import HubSpot
from hubspot.crm.contacts import (
    BatchInputSimplePublicObjectBatchInputUpsert,
    PublicGdprDeleteInput,
    SimplePublicObjectBatchInputUpsert,
)
from hubspot.crm.lists import MembershipChangeRequest
from intercom import Intercom
from intercom.types.create_contact_request_with_external_id import CreateContactRequestWithExternalId
from intercom.types.create_data_event_request_with_user_id import CreateDataEventRequestWithUserId
from mailchimp_marketing import Client as Mailchimp
from mixpanel import Mixpanel
from optimizely.odp.odp_event import OdpEvent
from optimizely.odp.odp_event_api_manager import OdpEventApiManager
from slack_sdk.webhook import WebhookClient
from support import activation_table

from cdi.simulator import Simulator, amplitude, hubspot, intercom, mailchimp, mixpanel, optimizely, slack
from cdi.sync.declared import DeclaredSync, Field
from cdi.sync.deliver import run_sync
from cdi.sync.tools import meta, normalise

AT = datetime(2026, 11, 20, 12, 30)
SECONDS = int(AT.replace(tzinfo=UTC).timestamp())
COLUMNS = "id text, person text, name text, at_ timestamp, tier text, properties json, email text"
ROW = (
    "'event-1', 'person-1', 'Order Completed', timestamp '2026-11-20 12:30:00', 'gold', '{\"total\": 12.5}',"
    " 'jane@example.com'"
)


@pytest.fixture
def warehouse_kind() -> str:
    """What differs between warehouses is tested in test_sync."""
    return "duckdb"


@pytest.fixture
def simulator(monkeypatch):
    tools = (
        mixpanel.Mixpanel(), amplitude.Amplitude(), intercom.Intercom(), hubspot.HubSpot(), mailchimp.Mailchimp(),
        optimizely.Optimizely(), slack.Slack(),
    )  # fmt: skip
    with Simulator(tools=tools) as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def send(project):
    """Sends one row by a declared sync."""
    with activation_table(project, COLUMNS, in_memory=True) as warehouse:
        warehouse.execute(f"insert into activation.people values ({ROW})")

        def run(tool: str, object_name: str, mode: str, fields: dict[str, str], **options) -> None:
            declared = DeclaredSync(
                f"{tool}_{object_name}", "activation", "people", "people.yml", tool, next(iter(fields.values())),
                options, object_name, mode, tuple(Field(name, column) for name, column in fields.items()),
            )  # fmt: skip
            assert run_sync(project, warehouse, declared).delivered == 1

        yield run


def test_mixpanel(simulator, send):
    said = []

    class Consumer:
        def send(self, endpoint, message, *_):
            said.append((endpoint, json.loads(message)))

    library = Mixpanel(mixpanel.TOKEN, Consumer())
    library.import_data(None, "person-1", "Order Completed", SECONDS, {"total": 12.5, "$insert_id": "event-1"})
    library.people_set("person-1", {"tier": "gold"})
    library.group_set("company", "person-1", {"tier": "gold"})
    theirs = mixpanel.Mixpanel()
    for take, (_, message) in zip((theirs._take_event, theirs._take_update, theirs._take_update), said, strict=True):
        assert take(message) is None

    ours = simulator.tools["mixpanel"]
    send("mixpanel", "event", "append",
         {"id": "id", "event": "name", "time": "at_", "distinct_id": "person", "properties": "properties"})  # fmt: skip
    send("mixpanel", "profile", "upsert", {"distinct_id": "person", "tier": "tier"})
    send("mixpanel", "group", "upsert", {"group_id": "person", "tier": "tier"}, group_key="company")
    assert (ours.profiles, ours.groups) == (theirs.profiles, theirs.groups)
    [event], [other] = ours.events.values(), theirs.events.values()
    # Theirs is in seconds, and says who sent it.
    assert event | {"time": SECONDS} == {
        name: value for name, value in other.items() if name not in ("token", "mp_lib", "$lib_version")
    }


def test_amplitude(simulator, send):
    send("amplitude", "event", "append",
         {"id": "id", "event": "name", "time": "at_", "user_id": "person", "properties": "properties"})  # fmt: skip
    [event] = simulator.tools["amplitude"].events.values()
    # The library leaves out what has a name or a type that it does not know.
    assert BaseEvent(**event).get_event_body() == event
    assert event == BaseEvent("Order Completed", "person-1", time=SECONDS * 1000, insert_id="event-1",
                              event_properties={"total": 12.5}).get_event_body()  # fmt: skip

    send("amplitude", "user", "upsert", {"user_id": "person", "tier": "tier"})
    identify = Identify()
    identify.set("tier", "gold")
    body = IdentifyEvent(user_id="person-1", identify_obj=identify).get_event_body()
    assert simulator.tools["amplitude"].users["person-1"] == body["user_properties"]["$set"]


def test_intercom(simulator, send):
    fields = {"external_id": "person", "name": "name", "signed_up_at": "at_", "custom_attributes.tier": "tier"}
    send("intercom", "contact", "mirror", fields)
    send("intercom", "tag", "audience", {"external_id": "person"}, tag="vip")
    send("intercom", "event", "append",
         {"id": "id", "user_id": "person", "event_name": "name", "created_at": "at_"})  # fmt: skip

    with Simulator(tools=[intercom.Intercom()]) as other, httpx.Client() as connections:
        library = Intercom(token=intercom.TOKEN, base_url=other.url_of("intercom"), httpx_client=connections)
        contact = library.contacts.create(
            request=CreateContactRequestWithExternalId(
                external_id="person-1", name="Order Completed", signed_up_at=SECONDS, custom_attributes={"tier": "gold"}
            )
        )
        tag = library.tags.create(request={"name": "vip"})
        library.tags.tag_contact(contact.id, tag_id=tag.id)
        library.events.create(
            request=CreateDataEventRequestWithUserId(
                user_id="person-1", event_name="Order Completed", created_at=SECONDS
            )
        )
        found = library.contacts.show_contact_by_external_id("person-1")
        theirs, ours = other.tools["intercom"], simulator.tools["intercom"]
        assert found.id == contact.id
        [person], [same] = theirs.contacts.values(), ours.contacts.values()
        # The library leaves out what a contact with an external_id is in any case.
        assert person | {"role": "user"} == same
        assert [event | {"metadata": {}} for event in theirs.events] == [
            {"metadata": {}} | event for event in ours.events
        ]
        library.contacts.archive(contact.id)
        assert theirs.users() == {}


def test_hubspot(simulator, send):
    fields = {"email": "email", "profile_id": "person", "firstname": "name", "tier": "tier"}
    send("hubspot", "contact", "upsert", fields)
    send("hubspot", "list", "audience", {"email": "email"}, list="7")
    ours = simulator.tools["hubspot"]

    with Simulator(tools=[hubspot.HubSpot()]) as other:
        library = HubSpot(access_token=hubspot.TOKEN, host=other.url_of("hubspot"))
        properties = {"email": "jane@example.com", "profile_id": "person-1", "firstname": "Order Completed",
                      "tier": "gold"}  # fmt: skip
        contact = SimplePublicObjectBatchInputUpsert(
            id="jane@example.com", id_property="email", properties=properties, object_write_trace_id="1"
        )
        answer = library.crm.contacts.batch_api.upsert(BatchInputSimplePublicObjectBatchInputUpsert([contact]))
        [person] = answer.results
        assert person.object_write_trace_id == "1"
        library.crm.lists.memberships_api.add_and_remove(
            "7", MembershipChangeRequest(record_ids_to_add=[person.id], record_ids_to_remove=[])
        )
        theirs = other.tools["hubspot"]
        assert (theirs.contacts, theirs.lists) == (ours.contacts, ours.lists)
        library.crm.contacts.basic_api.purge(PublicGdprDeleteInput(id_property="email", object_id="jane@example.com"))
        assert theirs.contacts == {}


def test_mailchimp(simulator, send):
    at = {"list": mailchimp.LIST}
    fields = {"email_address": "email", "merge_fields.TIER": "tier"}
    send("mailchimp", "member", "upsert", fields, **at, status_if_new="subscribed")
    send("mailchimp", "tag", "audience", {"email_address": "email"}, **at, tag="vip")
    send("mailchimp", "segment", "audience", {"email_address": "email"}, **at, segment=1)
    ours = simulator.tools["mailchimp"]

    with Simulator(tools=[mailchimp.Mailchimp()]) as other:
        library = Mailchimp({"api_key": mailchimp.KEY})
        library.api_client.host = other.url_of("mailchimp")
        # For one address there is a PUT; for many, the same with what a new member is to be in each of them.
        member = {"email_address": "jane@example.com", "status_if_new": "subscribed", "merge_fields": {"TIER": "gold"}}
        assert library.lists.batch_list_members(mailchimp.LIST, {"members": [member], "update_existing": True})[
            "error_count"
        ] == 0  # fmt: skip
        hashed = mailchimp.hash_of("jane@example.com")
        library.lists.update_list_member_tags(mailchimp.LIST, hashed, {"tags": [{"name": "vip", "status": "active"}]})
        library.lists.batch_segment_members({"members_to_add": ["jane@example.com"]}, mailchimp.LIST, "1")
        theirs = other.tools["mailchimp"]
        assert (theirs.members, theirs.segments) == (ours.members, ours.segments)
        library.lists.delete_list_member_permanent(mailchimp.LIST, hashed)
        assert theirs.members == {}


def test_optimizely(simulator, send):
    fields = {"id": "id", "type": "name", "time": "at_", "identifiers.customer_id": "person",
              "properties": "properties"}  # fmt: skip
    send("optimizely", "event", "append", fields)
    theirs = optimizely.Optimizely()
    with Simulator(tools=[theirs]) as other:
        data = {"total": 12.5, "ts": SECONDS, "idempotence_id": "event-1"}
        event = OdpEvent("Order Completed", "", {"customer_id": "person-1"}, data)
        address = other.url_of("optimizely")
        assert not OdpEventApiManager().send_odp_events(optimizely.KEY, address, [event])
    [event], [same] = theirs.events, simulator.tools["optimizely"].events
    assert not event.pop("action")
    event["data"] = {name: value for name, value in event["data"].items() if not name.startswith("data_source")}
    assert event == same


def test_slack(simulator, send):
    send("slack", "summary", "mirror", {"id": "id"})
    [said] = simulator.tools["slack"].messages
    with Simulator(tools=[slack.Slack()]) as other:
        library = WebhookClient(f"{other.url_of('slack')}/services/{slack.PLACE}")
        answer = library.send(text=said)
        assert (answer.status_code, answer.body) == (200, "ok")
        assert other.tools["slack"].messages == [said]


PEOPLE = [
    {"EMAIL": " Jane.Doe@Example.COM ", "PHONE": "+44 844 412-4653", "FN": "Jane", "LN": "Doe", "FI": "J",
     "GEN": "f", "DOBY": "1990", "DOBM": "03", "DOBD": "07", "CT": "New York", "ST": "ny", "ZIP": "10001",
     "COUNTRY": "us"},
    {"EMAIL": "ALI@EXAMPLE.ORG", "PHONE": "+1 650-555-0123", "FN": "O'Neil", "LN": "de la Cruz", "FI": "o", "GEN": "m",
     "DOBY": "1984", "DOBM": "12", "DOBD": "31", "CT": "London", "ST": "ca", "ZIP": "94035", "COUNTRY": "GB"},
]  # fmt: skip


@pytest.mark.parametrize("person", PEOPLE)
def test_meta(person):
    params = CustomAudience.format_params(list(person), [list(person.values())], is_raw=True)
    [theirs] = params["payload"]["data"]
    ours = [normalise.hashed(value, meta.HASHED[name]) for name, value in person.items()]
    assert dict(zip(person, ours, strict=True)) == dict(zip(person, theirs, strict=True))


@pytest.mark.parametrize("person", [*PEOPLE, {"EMAIL": "Some.Body+news@GMail.com", "PHONE": "+1 6505550123",
                                              "FN": "Zoë", "LN": "Müller-Lüdenscheidt"}])  # fmt: skip
def test_google_ads(person):
    library = Formatter()
    said = {
        (normalise.google_email, library.format_email_address): person["EMAIL"],
        (lambda phone: f"+{normalise.phone(phone)}", library.format_phone_number): person["PHONE"],
        (normalise.name, library.format_given_name): person["FN"],
        (normalise.name, library.format_family_name): person["LN"],
    }
    for (ours, theirs), value in said.items():
        assert ours(value) == theirs(value)
        assert normalise.hashed(value, ours) == library.hex_encode(library.hash_string(theirs(value)))
