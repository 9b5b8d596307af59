"""The gateway, the upstream behind it, and the ledger, as the tests see them."""

import http.client
import json
import os
import time
import urllib.request
from decimal import ROUND_HALF_EVEN, Decimal

GATEWAY = os.environ["BURSAR_SDK_GATEWAY"]
UPSTREAM = os.environ["BURSAR_SDK_UPSTREAM"]
TENANT = os.environ["BURSAR_SDK_TENANT"]
KEY = os.environ["BURSAR_SDK_KEY"]
POOR_KEY = os.environ["BURSAR_SDK_POOR_KEY"]
NEAR_KEY = os.environ["BURSAR_SDK_NEAR_KEY"]
UPSTREAM_KEY = "upstream-key"

SONNET = "claude-sonnet-4-5-20250929"
OLD_SONNET = "claude-3-5-sonnet-20241022"
MINI = "gpt-4o-mini-2024-07-18"
GPT = "gpt-4o-2024-08-06"
EMBEDDING = "text-embedding-3-small"

# US dollars per million tokens, from the vendors' price lists; they are not read from the repository's.
PRICES = {
    SONNET: dict(input="3", output="15", cache_read="0.30", write_5m="3.75", write_1h="6"),
    OLD_SONNET: dict(input="3", output="15", cache_read="0.30", write_5m="3.75", write_1h="6"),
    GPT: dict(input="2.50", output="10", cache_read="1.25"),
    MINI: dict(input="0.15", output="0.60", cache_read="0.075"),
    EMBEDDING: dict(input="0.02", output="0"),
}
WEB_SEARCH = Decimal("0.01")
NANO = Decimal("0.000000001")

# Well above the 1,000 tokens that the upstream reports, so that no call costs more than was held for it.
PROMPT = "The weather in Oslo, by the hour and for the whole of next week, please. " * 90


def priced(model, *, input=1000, output=500, cache_read=0, write_5m=0, write_1h=0, searches=0):
    """What a call costs, exactly; `input` leaves out what was read from a cache."""
    price = {name: Decimal(text) for name, text in PRICES[model].items()}
    tokens = input * price["input"] + output * price["output"]
    if cache_read:
        tokens += cache_read * price["cache_read"]
    if write_5m or write_1h:
        tokens += write_5m * price["write_5m"] + write_1h * price["write_1h"]
    cost = tokens / 1_000_000 + searches * WEB_SEARCH
    return cost.quantize(NANO, rounding=ROUND_HALF_EVEN)


def read(url, *, method="GET", headers=None):
    request = urllib.request.Request(url, method=method, headers=headers or {})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read().decode()


def admin(path):
    token = os.environ["BURSAR_SDK_ADMIN_TOKEN"]
    return read(GATEWAY + path, headers={"authorization": f"Bearer {token}"})


def exact(text):
    """JSON whose numbers keep their digits."""
    return json.loads(text, parse_float=Decimal, parse_int=int)


def journal():
    told = json.loads(read(UPSTREAM + "/journal"))
    assert told["refused"] == [], "something has leaked to the vendor"
    return told["requests"]


def clear_journal():
    read(UPSTREAM + "/journal", method="DELETE")


def only_request():
    """What the upstream has served in this test, which must be one request."""
    requests = journal()
    assert len(requests) == 1, requests
    return requests[0]


def settled(request_id, *, within=10):
    """The ledger's word on a call, once it is not held any more."""
    until = time.monotonic() + within
    while True:
        reservation = exact(admin(f"/api/v1/reservations/{request_id}"))
        if reservation["state"] != "held":
            return reservation
        assert time.monotonic() < until, reservation
        time.sleep(0.02)


def charged(cost, *, estimated=False):
    """Checks that the one call of this test was charged so, exactly, and no more than was held."""
    reservation = settled(only_request()["id"])
    assert reservation["state"] == "settled", reservation
    assert Decimal(reservation["cost_usd"]) == cost, reservation
    assert Decimal(reservation["overrun_usd"]) == 0, reservation
    assert reservation["actual"]["amount_estimated"] is estimated, reservation
    assert Decimal(reservation["held_usd"]) >= cost, reservation
    assert reservation["tenant_id"] == TENANT, reservation
    return reservation


def spent():
    """What the tenant has spent so far, by the usage report."""
    report = exact(admin(f"/api/v1/usage?tenant_id={TENANT}"))
    return sum((Decimal(row["cost_usd"]) for row in report["rows"]), Decimal(0))


def refusals():
    """Calls that the gateway has refused for a budget."""
    mark = 'bursar_gateway_refused_total{reason="budget_exceeded"} '
    lines = [line for line in admin("/metrics").splitlines() if line.startswith(mark)]
    return int(lines[0].removeprefix(mark)) if lines else 0


def raw(base, path, body, headers):
    """The bytes of an answer, asked for without any SDK."""
    address = base.removeprefix("http://")
    connection = http.client.HTTPConnection(address, timeout=30)
    text = json.dumps(body)
    connection.request("POST", path, text, {"content-type": "application/json", **headers})
    answer = connection.getresponse()
    return answer.status, answer.read()


def check_headers(headers, cost):
    assert Decimal(headers["x-bursar-cost-usd"]) == cost, headers
    assert Decimal(headers["x-bursar-budget-remaining-usd"]) > 0
    assert headers["x-bursar-budget-reset"].endswith("Z")
    assert headers["x-request-id"]
    assert UPSTREAM_KEY not in str(headers)


# One pixel.
PICTURE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
