"""OpenAI's SDK through the gateway."""

import time
from decimal import Decimal

import house
import openai
import pytest
from house import EMBEDDING, GPT, MINI, PROMPT, charged, priced

FUNCTION = {
    "name": "weather",
    "description": "The weather somewhere",
    "parameters": {"type": "object", "properties": {"location": {"type": "string"}}},
}
TOOL = {"type": "function", "function": FUNCTION}


def client(key=house.KEY, **options):
    return openai.OpenAI(api_key=key, base_url=house.GATEWAY + "/v1", **options)


def script(name="plain", **numbers):
    headers = {f"x-script-{name.replace('_', '-')}": str(n) for name, n in numbers.items()}
    return {"x-script": name, **headers}


def ask(extra_headers=None, **more):
    request = dict(model=MINI, max_tokens=600, messages=[{"role": "user", "content": PROMPT}])
    return {**request, **more, "extra_headers": extra_headers or {}}


def test_a_plain_completion_costs_what_its_usage_says():
    answer = client().chat.completions.with_raw_response.create(**ask())
    completion = answer.parse()
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (1000, 500)
    assert completion.choices[0].message.content.startswith("Twelve degrees")
    house.check_headers(answer.headers, priced(MINI))
    charged(priced(MINI))


def test_a_stream_that_asks_for_usage_gets_it():
    options = {"include_usage": True}
    chunks = list(client().chat.completions.create(**ask(stream=True, stream_options=options)))
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 500
    charged(priced(MINI))


def test_a_stream_that_does_not_ask_gets_none_and_is_charged():
    chunks = list(client().chat.completions.create(**ask(stream=True)))
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    charged(priced(MINI))


@pytest.mark.parametrize("name", ["plain", "trickle"])
@pytest.mark.parametrize("asks", [True, False])
def test_a_stream_has_the_bytes_of_the_vendor(name, asks):
    body = {k: v for k, v in ask(stream=True).items() if k != "extra_headers"}
    if asks:
        body["stream_options"] = {"include_usage": True}
    headers, path = script(name, seed=7), "/v1/chat/completions"
    key = {"authorization": f"Bearer {house.UPSTREAM_KEY}"}
    direct = house.raw(house.UPSTREAM, path, body, {**headers, **key})
    house.clear_journal()
    key = {"authorization": f"Bearer {house.KEY}"}
    status, text = house.raw(house.GATEWAY, path, body, {**headers, **key})
    if not asks:
        # A vendor that was asked by the gateway says in each chunk that there is no usage yet.
        text = text.replace(b',"usage":null', b"")
    assert (status, text) == direct
    charged(priced(MINI))


@pytest.mark.parametrize("stream", [False, True])
def test_tools(stream):
    answer = client().chat.completions.create(**ask(tools=[TOOL], stream=stream))
    if stream:
        deltas = [chunk.choices[0].delta.tool_calls for chunk in answer]
        text = "".join(calls[0].function.arguments for calls in deltas if calls)
    else:
        text = answer.choices[0].message.tool_calls[0].function.arguments
    assert text == '{"location":"Oslo, Norway","unit":"celsius"}'
    charged(priced(MINI))


def test_vision():
    url = {"url": f"data:image/png;base64,{house.PICTURE}"}
    content = [{"type": "image_url", "image_url": url}, {"type": "text", "text": PROMPT}]
    client().chat.completions.create(**ask(model=GPT, messages=[{"role": "user", "content": content}]))
    charged(priced(GPT))


def test_several_choices_are_held_and_charged():
    answer = client().chat.completions.create(**ask(script(output=1500), max_tokens=1500, n=3))
    assert len(answer.choices) == 3
    reservation = charged(priced(MINI, output=1500))
    assert Decimal(reservation["held_usd"]) >= priced(MINI, input=0, output=4500)


@pytest.mark.parametrize("stream", [False, True])
def test_cached_tokens_are_part_of_the_prompt(stream):
    headers = script(input=1000, cache_read=600, reasoning=200)
    answer = client().chat.completions.create(**ask(headers, stream=stream))
    if stream:
        list(answer)
    else:
        assert answer.usage.prompt_tokens_details.cached_tokens == 600
    charged(priced(MINI, input=400, cache_read=600))


def test_a_response_costs_what_its_usage_says():
    response = client().responses.with_raw_response.create(
        model=MINI, input=PROMPT, max_output_tokens=600, extra_headers=script(cache_read=100)
    )
    assert response.parse().output_text.startswith("Twelve degrees")
    cost = priced(MINI, input=900, cache_read=100)
    house.check_headers(response.headers, cost)
    charged(cost)


@pytest.mark.parametrize("name, last", [("plain", "completed"), ("incomplete", "incomplete"), ("failed", "failed")])
def test_a_streamed_response_is_charged_however_it_ends(name, last):
    events = client().responses.create(
        model=MINI, input=PROMPT, max_output_tokens=600, stream=True, extra_headers=script(name)
    )
    kinds = [event.type for event in events]
    assert kinds[0] == "response.created" and kinds[-1] == f"response.{last}"
    charged(priced(MINI))


def test_embeddings():
    response = client().embeddings.create(
        model=EMBEDDING, input=[PROMPT, "and this"], extra_headers=script(input=1100)
    )
    assert [list(each.embedding) for each in response.data] == [[0.5, -0.25, 0.125]] * 2
    charged(priced(EMBEDDING, input=1100, output=0))


def test_models_are_listed():
    assert MINI in [model.id for model in client().models.list()]


@pytest.mark.parametrize(
    "status, error",
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (404, openai.NotFoundError),
        (413, openai.APIStatusError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
    ],
)
def test_an_error_of_the_vendor_costs_nothing(status, error):
    with pytest.raises(error) as raised:
        client(max_retries=0).chat.completions.create(**ask(script(f"error-{status}")))
    assert raised.value.status_code == status
    reservation = house.settled(house.journal()[0]["id"])
    assert reservation["state"] == "released", reservation


def test_who_hangs_up_pays_for_the_real_usage():
    stream = client().chat.completions.create(**ask(script(pace_ms=20, pieces=30), stream=True))
    next(iter(stream))
    stream.close()
    charged(priced(MINI))


@pytest.mark.parametrize("name", ["no-usage", "garbage-usage"])
def test_an_answer_without_usage_is_charged_as_an_estimate(name):
    client().chat.completions.create(**ask(script(name)))
    reservation = house.settled(house.only_request()["id"])
    assert reservation["state"] == "settled" and reservation["actual"]["amount_estimated"]
    assert 0 < Decimal(reservation["cost_usd"]) <= Decimal(reservation["held_usd"])


def test_usage_above_the_bound_is_charged_in_full():
    answer = client().chat.completions.create(**ask(script("usage-above-bound")))
    usage = answer.usage
    reservation = house.settled(house.only_request()["id"])
    cost = priced(MINI, input=usage.prompt_tokens, output=usage.completion_tokens)
    assert Decimal(reservation["cost_usd"]) == cost
    assert Decimal(reservation["overrun_usd"]) == cost - Decimal(reservation["held_usd"]) > 0


@pytest.mark.parametrize("api", ["chat", "responses", "embeddings"])
def test_a_budget_refusal_is_not_retried(api):
    refusals, started = house.refusals(), time.monotonic()
    poor = client(house.POOR_KEY)
    with pytest.raises(openai.RateLimitError) as raised:
        match api:
            case "chat":
                poor.chat.completions.create(**ask())
            case "responses":
                poor.responses.create(model=MINI, input=PROMPT)
            case "embeddings":
                poor.embeddings.create(model=EMBEDDING, input=[PROMPT] * 20)
    assert time.monotonic() - started < 1.5
    assert house.journal() == [] and house.refusals() == refusals + 1
    assert raised.value.type == "insufficient_quota" and raised.value.code
    answer = raised.value.response
    assert answer.headers["x-should-retry"] == "false"
    assert int(answer.headers["retry-after"]) > 0


def test_what_cannot_be_metered_is_refused():
    with pytest.raises(openai.NotFoundError):
        client().images.generate(model="gpt-image-1", prompt="a cat")
    assert house.journal() == []
