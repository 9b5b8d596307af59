"""Anthropic's SDK through the gateway."""

import time
from decimal import Decimal

import anthropic
import house
import pytest
from house import PROMPT, SONNET, charged, priced

TOOL = {
    "name": "weather",
    "description": "The weather somewhere",
    "input_schema": {"type": "object", "properties": {"location": {"type": "string"}}},
}


def client(key=house.KEY, **options):
    return anthropic.Anthropic(api_key=key, base_url=house.GATEWAY, **options)


def script(name="plain", **numbers):
    headers = {f"x-script-{name.replace('_', '-')}": str(n) for name, n in numbers.items()}
    return {"x-script": name, **headers}


def ask(extra_headers=None, **more):
    request = dict(model=SONNET, max_tokens=600, messages=[{"role": "user", "content": PROMPT}])
    return {**request, **more, "extra_headers": extra_headers or {}}


def texts(message):
    return "".join(block.text for block in message.content if block.type == "text")


def test_a_plain_message_costs_what_its_usage_says():
    answer = client().messages.with_raw_response.create(**ask())
    message = answer.parse()
    cost = priced(SONNET)
    assert (message.usage.input_tokens, message.usage.output_tokens) == (1000, 500)
    assert texts(message).startswith("Twelve degrees")
    house.check_headers(answer.headers, cost)
    charged(cost)


def test_the_usage_report_grows_by_exactly_the_cost():
    before = house.spent()
    message = client().messages.create(**ask(script(input=777, output=333)))
    assert message.usage.output_tokens == 333
    house.settled(house.only_request()["id"])
    assert house.spent() - before == priced(SONNET, input=777, output=333)


def test_a_stream_costs_what_its_usage_says():
    events = list(client().messages.create(**ask(stream=True)))
    kinds = [event.type for event in events]
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop"
    charged(priced(SONNET))


def test_the_stream_helper_ends_in_the_same_message():
    with client().messages.stream(**ask()) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert texts(message) == text and message.usage.output_tokens == 500
    charged(priced(SONNET))


def test_a_stream_tells_its_hold_in_its_head():
    answer = client().messages.with_raw_response.create(**ask(stream=True))
    assert Decimal(answer.headers["x-bursar-hold-usd"]) >= priced(SONNET)
    assert len(list(answer.parse())) > 20
    charged(priced(SONNET))


@pytest.mark.parametrize("name", ["plain", "trickle"])
def test_a_stream_has_the_bytes_of_the_vendor(name):
    body = {k: v for k, v in ask(stream=True).items() if k != "extra_headers"}
    headers = {"anthropic-version": "2023-06-01", **script(name, seed=7)}
    direct = house.raw(house.UPSTREAM, "/v1/messages", body, {**headers, "x-api-key": house.UPSTREAM_KEY})
    house.clear_journal()
    through = house.raw(house.GATEWAY, "/v1/messages", body, {**headers, "x-api-key": house.KEY})
    assert through == direct
    charged(priced(SONNET))


@pytest.mark.parametrize("stream", [False, True])
def test_tools(stream):
    request = ask(tools=[TOOL])
    if stream:
        with client().messages.stream(**request) as events:
            message = events.get_final_message()
    else:
        message = client().messages.create(**request)
    use = message.content[1]
    assert message.stop_reason == "tool_use" and use.name == "weather"
    assert use.input == {"location": "Oslo, Norway", "unit": "celsius"}
    charged(priced(SONNET))


def test_vision():
    source = {"type": "base64", "media_type": "image/png", "data": house.PICTURE}
    content = [{"type": "image", "source": source}, {"type": "text", "text": PROMPT}]
    client().messages.create(**ask(messages=[{"role": "user", "content": content}]))
    charged(priced(SONNET))


@pytest.mark.parametrize("stream", [False, True])
def test_each_class_of_a_cached_prompt_has_its_own_price(stream):
    system = [
        {"type": "text", "text": PROMPT, "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"type": "text", "text": PROMPT, "cache_control": {"type": "ephemeral"}},
    ]
    headers = script(input=100, cache_read=1000, cache_write_5m=700, cache_write_1h=300)
    answer = client().messages.create(**ask(headers, system=system, stream=stream))
    usage = list(answer)[0].message.usage if stream else answer.usage
    assert usage.cache_read_input_tokens == 1000 and usage.cache_creation_input_tokens == 1000
    charged(priced(SONNET, input=100, cache_read=1000, write_5m=700, write_1h=300))


@pytest.mark.parametrize("stream", [False, True])
def test_thinking(stream):
    thinking = {"type": "enabled", "budget_tokens": 1024}
    answer = client().messages.create(
        **ask(script(output=1500), max_tokens=2048, thinking=thinking, stream=stream)
    )
    if stream:
        deltas = [event.delta.type for event in answer if event.type == "content_block_delta"]
        assert "thinking_delta" in deltas and "signature_delta" in deltas
    else:
        assert answer.content[0].type == "thinking"
    charged(priced(SONNET, output=1500))


@pytest.mark.parametrize("stream", [False, True])
def test_searches_of_the_vendor_have_a_fee(stream):
    tools = [{"type": "web_search_20250305", "name": "web_search", "max_uses": 3}]
    answer = client().messages.create(**ask(script(searches=2), tools=tools, stream=stream))
    if stream:
        list(answer)
    else:
        assert answer.usage.server_tool_use.web_search_requests == 2
    charged(priced(SONNET, searches=2))


def test_counting_tokens_is_free():
    before = house.spent()
    messages = [{"role": "user", "content": PROMPT}]
    count = client().messages.count_tokens(model=SONNET, messages=messages)
    assert count.input_tokens == 1000 and house.only_request()["usage"] is None
    assert house.spent() == before


def test_models_are_listed():
    models = list(client().models.list())
    assert SONNET in [model.id for model in models]


def test_a_batch_is_charged_by_its_results():
    """A batch is half the price; what has failed in it costs nothing."""
    before = house.spent()
    parameters = dict(model=SONNET, max_tokens=600, messages=[{"role": "user", "content": PROMPT}])
    names = ["first", "second", "errored-third"]
    requests = [{"custom_id": name, "params": parameters} for name in names]
    batches = client().messages.batches
    batch = batches.create(requests=requests)
    assert batch.processing_status == "in_progress"
    until = time.monotonic() + 10
    while batches.retrieve(batch.id).processing_status != "ended":
        assert time.monotonic() < until
    results = {result.custom_id: result.result.type for result in batches.results(batch.id)}
    assert results == {"first": "succeeded", "second": "succeeded", "errored-third": "errored"}
    cost = 2 * priced(SONNET) / 2
    while house.spent() - before != cost:
        assert time.monotonic() < until, house.spent() - before
        time.sleep(0.05)


def test_a_cancelled_batch_costs_nothing():
    before = house.spent()
    parameters = dict(model=SONNET, max_tokens=600, messages=[{"role": "user", "content": PROMPT}])
    batches = client().messages.batches
    batch = batches.create(requests=[{"custom_id": "one", "params": parameters}])
    assert batches.cancel(batch.id).processing_status == "canceling"
    until = time.monotonic() + 10
    while batches.retrieve(batch.id).processing_status != "ended":
        assert time.monotonic() < until
    assert [result.result.type for result in batches.results(batch.id)] == ["canceled"]
    assert house.spent() == before


@pytest.mark.parametrize(
    "status, error",
    [
        (400, anthropic.BadRequestError),
        (401, anthropic.AuthenticationError),
        (404, anthropic.NotFoundError),
        (413, anthropic.APIStatusError),
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
        (529, anthropic.APIStatusError),
    ],
)
def test_an_error_of_the_vendor_costs_nothing(status, error):
    with pytest.raises(error) as raised:
        client(max_retries=0).messages.create(**ask(script(f"error-{status}")))
    assert raised.value.status_code == status
    assert raised.value.body["type"] == "error"
    reservation = house.settled(house.journal()[0]["id"])
    assert reservation["state"] == "released", reservation


@pytest.mark.parametrize("status", [429, 500, 529])
def test_an_error_that_passes_is_charged_once(status):
    message = client().messages.create(**ask(script(f"{status}-then-ok", input=900 + status % 100)))
    assert message.usage.output_tokens == 500
    first, second = house.journal()
    assert first["id"] == second["id"] and first["usage"] is None
    reservation = house.settled(second["id"])
    assert Decimal(reservation["cost_usd"]) == priced(SONNET, input=900 + status % 100)


def test_who_hangs_up_pays_for_the_real_usage():
    stream = client().messages.create(**ask(script(pace_ms=20, pieces=30), stream=True))
    for event in stream:
        if event.type == "content_block_delta":
            break
    stream.close()
    charged(priced(SONNET))


def test_a_stream_that_breaks_off_is_charged_by_what_was_seen():
    with pytest.raises(Exception):
        list(client(max_retries=0).messages.create(**ask(script("cut-mid-stream"), stream=True)))
    reservation = house.settled(house.only_request()["id"])
    assert reservation["state"] == "settled" and reservation["actual"]["amount_estimated"]
    seen, whole = Decimal(reservation["cost_usd"]), priced(SONNET)
    assert priced(SONNET, output=0) <= seen <= whole, reservation


def test_an_error_in_a_stream_is_charged_by_what_was_seen():
    with pytest.raises(anthropic.APIStatusError):
        list(client(max_retries=0).messages.create(**ask(script("error-mid-stream"), stream=True)))
    reservation = house.settled(house.only_request()["id"])
    assert reservation["state"] == "settled" and Decimal(reservation["cost_usd"]) > 0


@pytest.mark.parametrize("stream", [False, True])
def test_a_budget_refusal_is_not_retried(stream):
    refusals, started = house.refusals(), time.monotonic()
    with pytest.raises(anthropic.RateLimitError) as raised:
        client(house.POOR_KEY).messages.create(**ask(stream=stream))
    assert time.monotonic() - started < 1.5
    assert house.journal() == [] and house.refusals() == refusals + 1
    answer = raised.value.response
    assert raised.value.body["type"] == "error"
    assert raised.value.body["error"]["type"] == "rate_limit_error"
    assert answer.headers["x-should-retry"] == "false"
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["x-bursar-budget-reset"] and answer.headers["x-request-id"]


def test_a_budget_that_runs_low_warns():
    near = client(house.NEAR_KEY)
    messages = [{"role": "user", "content": PROMPT}]
    answer = near.messages.with_raw_response.create(
        model=SONNET, max_tokens=600, messages=messages, extra_headers=script(input=2400, output=600)
    )
    # $0.0162 of $0.02.
    assert answer.headers["x-ai-budget-warning"] == "true"
    assert Decimal(answer.headers["x-ai-budget-usage"]) == 81


def test_a_trusted_network_may_name_its_tenant():
    headers = {"x-tenant-id": house.TENANT, "x-user-id": "ada", **script()}
    client("any-text").messages.create(**ask(headers))
    assert charged(priced(SONNET))["user_id"] == "ada"


def test_a_key_that_nobody_has_is_refused():
    with pytest.raises(anthropic.AuthenticationError):
        client("bsr_00000000000000000000000000000000").messages.create(**ask())
    assert house.journal() == []
