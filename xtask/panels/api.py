"""Bursar's API, as these scripts ask it."""

import csv
import io
import json
import urllib.error
import urllib.parse
import urllib.request
import uuid

TOKEN = "panels-test-admin-token"


class Api:
    def __init__(self, port):
        self.root = f"http://127.0.0.1:{port}"

    def ask(self, path, body=None, headers=None, **query):
        url = self.root + path + ("?" + urllib.parse.urlencode(query) if query else "")
        head = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, head | (headers or {}))
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read().decode()

    def status(self, path, body, headers):
        try:
            self.ask(path, body, headers)
        except urllib.error.HTTPError as refused:
            return refused.code
        return 200

    def json(self, path, body=None, **query):
        # Money as it is written.
        return json.loads(self.ask(path, body, **query), parse_float=str, parse_int=str)

    def csv(self, path, **query):
        return list(csv.DictReader(io.StringIO(self.ask(path, **query))))

    def limit(self, tenant, model, dollars):
        self.json(
            "/api/ai-budget/set",
            {"tenant_id": tenant, "model": model, "monthly_limit_usd": dollars},
        )

    def call(self, tenant, model, prompt, completion, report=None, user=None):
        told = {"request_id": str(uuid.uuid4()), "tenant_id": tenant, "model": model}
        told |= {"prompt_tokens": prompt, "completion_tokens": completion}
        told |= {"report_type": report, "user_id": user}
        self.json("/api/ai-budget/track", {key: told[key] for key in told if told[key]})

    def table(self, path, **query):
        """All rows of a report as dictionaries, page by page."""
        rows, more = [], {}
        while True:
            answer = self.json(path, limit=1000, **query, **more)
            names = [column["name"] for column in answer["columns"]]
            rows += [dict(zip(names, row)) for row in answer["rows"]]
            if "next_cursor" not in answer:
                return rows
            more = {"cursor": answer["next_cursor"]}
