"""Vendors at their worst: the SDKs get an error that they know, and the ledger what the table of settles says."""

import itertools
from decimal import Decimal

import anthropic
import openai
import pytest
import test_anthropic
import test_openai
from house import PROMPT, settled, only_request


def messages(name, **more):
    client = test_anthropic.client(max_retries=0, timeout=60)
    return client.messages.create(**test_anthropic.ask(test_anthropic.script(name), **more))


def completions(name, **more):
    client = test_openai.client(max_retries=0, timeout=60)
    return client.chat.completions.create(**test_openai.ask(test_openai.script(name), **more))


def responses(name, **more):
    client = test_openai.client(max_retries=0, timeout=60)
    headers = test_openai.script(name)
    request = dict(model=test_openai.MINI, max_output_tokens=600, input=PROMPT)
    return client.responses.create(**request, **more, extra_headers=headers)


SDKS = [(messages, anthropic), (completions, openai), (responses, openai)]
sdks = pytest.mark.parametrize(("call", "sdk"), SDKS, ids=["messages", "completions", "responses"])


def estimated(*, whole_hold=False):
    """Checks that the one call of this test was charged by an estimate, within what was held."""
    reservation = settled(only_request()["id"])
    assert reservation["state"] == "settled", reservation
    assert reservation["actual"]["amount_estimated"] is True, reservation
    cost, held = Decimal(reservation["cost_usd"]), Decimal(reservation["held_usd"])
    assert cost == held if whole_hold else 0 < cost <= held, reservation
    assert Decimal(reservation["overrun_usd"]) == 0, reservation


def check_error(sdk, status, call, *arguments, **more):
    with pytest.raises(sdk.APIStatusError) as caught:
        call(*arguments, **more)
    error = caught.value
    assert error.status_code == status, error
    assert error.body, "an error in the dialect's own shape"
    assert "upstream" in str(error)
    assert error.response.headers["x-request-id"]


@sdks
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("name", "status"), [("timeout", 504), ("header-bomb", 502), ("cut-before-body", 502)])
def test_a_vendor_that_does_not_answer_is_charged_the_hold(call, sdk, name, status, stream):
    if stream and name == "cut-before-body":
        # The head of a stream has gone to the caller by then.
        with pytest.raises(Exception):
            list(call(name, stream=True))
        return estimated()
    check_error(sdk, status, call, name, stream=stream)
    estimated(whole_hold=name != "cut-before-body")


@sdks
@pytest.mark.parametrize("name", ["never-ends", "oversized"])
def test_an_answer_without_a_sane_end_is_left(call, sdk, name):
    check_error(sdk, 502, call, name)
    estimated()


@sdks
def test_a_stream_without_an_end_is_charged_by_what_was_seen_when_its_caller_leaves(call, sdk):
    with call("never-ends", stream=True) as stream:
        assert len(list(itertools.islice(stream, 40))) == 40
    estimated()


@sdks
def test_a_stream_that_stops_in_the_middle_is_ended(call, sdk):
    with pytest.raises(Exception) as caught:
        list(call("hang-mid-stream", stream=True))
    assert not isinstance(caught.value, sdk.APITimeoutError), "the gateway ends it, not the SDK's patience"
    estimated()


@sdks
@pytest.mark.parametrize("stream", [False, True])
def test_garbage_passes_as_it_is_and_is_charged_by_what_was_seen(call, sdk, stream):
    try:
        answer = call("garbage", stream=stream)
        # What an SDK makes of it is its own affair, but no answer of a model.
        assert not stream or list(answer) == []
    except (ValueError, sdk.APIError):
        pass
    estimated()
