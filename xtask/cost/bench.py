"""The lake beside DuckDB, on the same bills, in one run: taking them in, and asking.

usage: bench.py BURSAR FOLDER ROWS ROUNDS GROWTH

Prints a line of JSON for each measure. DuckDB's times leave out the start of Python and of its
library; Bursar's are those of whole commands, but for what is asked over HTTP.
"""

import csv
import decimal
import io
import json
import multiprocessing
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request

import duckdb

HERE = pathlib.Path(__file__).parent
GIBIBYTE = 1 << 30
# Rows that one bill of the growing lake has.
GROWING = "growing"

# What the panels of the cloud dashboard ask. `{cost}` is a month's or half a year's billed cost.
JUNE = "BillingPeriodStart >= '2026-06-01' and BillingPeriodStart < '2026-07-01'"
PANELS = {
    "monthly spend": f"select sum(BilledCost) as c from {{table}} where {JUNE}",
    "spend of a budget": f"select sum(BilledCost) as c from {{table}} where {JUNE} and ServiceName = 'EC2'",
    "utilisation by provider": "select ServiceProviderName as a, sum(BilledCost) as c from {table} "
    f"where {JUNE} group by 1 order by 1",
    "cost per customer": f"select SubAccountId as a, sum(BilledCost) as c from {{table}} where {JUNE} "
    "group by 1 order by 1",
    "spend trend by day": "select {day} as a, sum(BilledCost) as c from {table} group by 1 order by 1",
    "cost by region": f"select RegionId as a, sum(BilledCost) as c from {{table}} where {JUNE} "
    "group by 1 order by 1",
    "cost by service": f"select ServiceName as a, sum(BilledCost) as c from {{table}} where {JUNE} "
    "group by 1 order by 1",
    "top 10 cost drivers": "select ServiceName as a, RegionId as b, SubAccountId as d, "
    f"sum(BilledCost) as c from {{table}} where {JUNE} group by 1, 2, 3 order by 4 desc, 1, 2, 3 limit 10",
    "month over month": "select BillingPeriodStart as a, sum(BilledCost) as c from {table} "
    "group by 1 order by 1",
    "storage costs": "select ServiceName as a, sum(BilledCost) as b, sum(EffectiveCost) as c "
    "from {table} where ServiceName in ('S3', 'EBS', 'RDS') group by 1 order by 1",
}
CHARGES = {name: sql.format(table="focus_data_table", day="date(ChargePeriodStart)") for name, sql in PANELS.items()}
DAYS = {name: sql.format(table="charges_by_day", day="ChargeDay") for name, sql in PANELS.items()}

# What DuckDB does with the same bill, timed in its own process. Amounts keep their digits.
COPY = """
import duckdb, sys, time
source, target = sys.argv[1:]
amounts = {amounts!r}
read = f"read_parquet('{{source}}')"
if source.endswith(".csv"):
    read = f"read_csv('{{source}}', header=true, types={{amounts}})"
connection = duckdb.connect()
connection.execute("set enable_progress_bar = false")
start = time.perf_counter()
connection.execute(f"copy (select * from {{read}}) to '{{target}}' (format parquet, compression zstd)")
print(time.perf_counter() - start)
"""
AMOUNT = "DECIMAL(38, 18)"
ASK = """
import duckdb, json, sys, time
view, questions = sys.argv[1], json.loads(sys.argv[2])
start = time.perf_counter()
connection = duckdb.connect()
connection.execute("set timezone='UTC'")
connection.execute("set enable_progress_bar = false")
connection.execute(view)
for question in questions:
    connection.execute(question).fetchall()
print(time.perf_counter() - start)
"""


def tell(measure, baseline, subject, value, target, met):
    told = {"measure": measure, "baseline": baseline, "subject": subject, "value": value}
    print(json.dumps(told | {"target": target, "met": met}), flush=True)


def log(*words):
    print(*words, file=sys.stderr, flush=True)


def run(words, environment=None):
    """Runs a command to its end: its output, seconds, and the most memory that it had."""
    start = time.perf_counter()
    process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        sys.exit(f"{words[:4]} ended with {status}")
    return output.decode(), seconds, usage.ru_maxrss * 1024


def megabytes(size):
    return f"{size / (1 << 20):,.0f} MiB"


class Bursar:
    def __init__(self, program, lake):
        self.program, self.lake = program, lake
        kept = {name: value for name, value in os.environ.items() if "BURSAR_" not in name}
        self.environment = kept | {"BURSAR_LAKE_URL": str(lake)}

    def cost(self, *words):
        return run([self.program, "cost", *words], self.environment)

    def ingest(self, bill, source="bench"):
        return self.cost("ingest", str(bill), "--source", source)

    def rows(self, sql):
        """An answer, each amount exact."""
        answer = self.cost("query", sql, "--output", "csv")[0]
        return [tuple(map(plain, row)) for row in list(csv.reader(io.StringIO(answer)))[1:]]


class Service:
    """`bursar serve` on a lake, asked over HTTP."""

    PORT = 3971

    def __init__(self, bursar, folder):
        environment = bursar.environment | {
            "BURSAR_DATABASE_URL": f"sqlite://{folder}/bench.db",
            "BURSAR_LISTEN": f"127.0.0.1:{self.PORT}",
        }
        self.process = subprocess.Popen(
            [bursar.program, "serve"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def __enter__(self):
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.PORT}/healthz")
                return self
            except OSError:
                time.sleep(0.05)
        sys.exit("bursar serve does not answer")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def ask(self, sql):
        body = json.dumps({"sql": sql}).encode()
        url = f"http://127.0.0.1:{self.PORT}/api/v1/cost/query"
        request = urllib.request.Request(url, body, {"content-type": "application/json"})
        start = time.perf_counter()
        with urllib.request.urlopen(request) as answer:
            answer.read()
        return time.perf_counter() - start


def plain(value):
    """A value as both engines can be compared by."""
    if value is None:
        return ""
    text = str(value)
    try:
        return decimal.Decimal(text).normalize()
    except decimal.InvalidOperation:
        return text[:10] if text[4:5] == "-" and text[7:8] == "-" else text


def connect():
    connection = duckdb.connect()
    connection.execute("set timezone='UTC'")
    connection.execute("set enable_progress_bar = false")
    return connection


def make(parquet, text, rows):
    """The same bill as Parquet and as CSV, once."""
    sql = (HERE / "charges.sql").read_text("utf-8").replace("$rows", str(rows))
    connection = connect()
    for path, read, options in [
        (parquet, sql, "format parquet, compression zstd"),
        (text, f"select * from '{parquet}'", "format csv, header, timestampformat '%Y-%m-%dT%H:%M:%SZ'"),
    ]:
        if not path.exists():
            log("making", path.name)
            connection.execute(f"copy ({read}) to '{path}.part' ({options})")
            os.rename(f"{path}.part", path)


def bills(folder, rows):
    parquet, text = folder / f"bill-{rows}.parquet", folder / f"bill-{rows}.csv"
    # In a process of its own: whoever is started by a large one is counted as large.
    maker = multiprocessing.get_context("spawn").Process(target=make, args=(parquet, text, rows))
    maker.start()
    maker.join()
    if maker.exitcode:
        sys.exit(f"making {parquet.name} ended with {maker.exitcode}")
    connection = connect()
    columns = connection.execute(f"describe select * from '{parquet}'").fetchall()
    total = connection.execute(f"select sum(BilledCost) from '{parquet}'").fetchone()[0]
    amounts = {name: AMOUNT for name, kind, *_ in columns if kind.startswith("DECIMAL")}
    texts = {name: "VARCHAR" for name, kind, *_ in columns if kind == "VARCHAR"}
    return parquet, text, amounts | texts, total


def ingests(program, folder, rows, rounds):
    parquet, text, types, total = bills(folder, rows)
    copy = COPY.format(amounts=types)
    for bill, form in [(parquet, "Parquet"), (text, "CSV")]:
        theirs, ours, most = [], [], 0
        for _ in range(rounds):
            out = folder / "copy.parquet"
            seconds = float(run([sys.executable, "-c", copy, str(bill), str(out)])[0])
            theirs.append(seconds)
            out.unlink()
            shutil.rmtree(folder / "lake", ignore_errors=True)
            lake = Bursar(program, folder / "lake")
            _, seconds, memory = lake.ingest(bill)
            ours.append(seconds)
            most = max(most, memory)
            log(form, "DuckDB", round(theirs[-1], 1), "Bursar", round(seconds, 1), megabytes(memory))
        found = lake.rows("select sum(BilledCost) as c, count(*) as n from focus_data_table")
        if found != [(plain(total), plain(rows))]:
            sys.exit(f"{form}: {found} is not {total} of {rows} rows")
        baseline, subject = statistics.median(theirs), statistics.median(ours)
        ratio = baseline / subject
        tell(
            f"ingest of {rows:,} rows, {form}, {bill.stat().st_size / 1e6:,.0f} MB",
            f"{baseline:.1f} s DuckDB {duckdb.__version__} `COPY` to Parquet",
            f"{subject:.1f} s, {rows / subject / 1e3:,.0f} thousand rows/s",
            f"{ratio:.2f} of DuckDB's speed",
            "≥ 1.0",
            ratio >= 1.0,
        )
        tell(f"memory of that ingest, {form}", "", megabytes(most), "", "< 1,024 MiB", most < GIBIBYTE)
    return lake


def view(lake):
    files = sorted(str(path) for path in lake.lake.glob("data/charges/**/*.parquet"))
    return f"create view focus_data_table as select * from read_parquet({files})"


def questions(bursar, folder, rounds):
    """The ten panels, each in a process of its own, then all by one that runs."""
    see = view(bursar)
    connection = connect()
    connection.execute(see)
    for name, sql in CHARGES.items():
        wanted = [tuple(map(plain, row)) for row in connection.execute(sql).fetchall()]
        for asked in (sql, DAYS[name]):
            if bursar.rows(asked) != wanted:
                sys.exit(f"{name}: answers differ: {bursar.rows(asked)[:3]} is not {wanted[:3]}")
    theirs, ours = [], []
    for _ in range(rounds):
        asked = (run([sys.executable, "-c", ASK, see, json.dumps([sql])])[0] for sql in CHARGES.values())
        theirs.append(sum(map(float, asked)))
        ours.append(sum(bursar.cost("query", sql, "--output", "csv")[1] for sql in CHARGES.values()))
    compared("ten questions, each in a new process", theirs, ours)
    with Service(bursar, folder) as service:
        theirs, ours, each = [], [], {}
        for _ in range(rounds + 1):
            start = time.perf_counter()
            for sql in CHARGES.values():
                connection.execute(sql).fetchall()
            theirs.append(time.perf_counter() - start)
            ours.append(sum(service.ask(sql) for sql in CHARGES.values()))
            for name, sql in DAYS.items():
                each.setdefault(name, []).append(service.ask(sql))
    compared("ten questions, warm, over HTTP", theirs[1:], ours[1:])
    slowest, seconds = max(((name, statistics.median(all[1:])) for name, all in each.items()), key=lambda one: one[1])
    tell(
        "each of them from the sums by day, over HTTP",
        "",
        f"{seconds * 1e3:.0f} ms at most ({slowest})",
        f"{sum(statistics.median(all[1:]) for all in each.values()) * 1e3:.0f} ms all ten",
        "≤ 50 ms",
        seconds <= 0.05,
    )


def compared(measure, theirs, ours):
    baseline, subject = statistics.median(theirs), statistics.median(ours)
    log(measure, theirs, ours)
    ratio = subject / baseline
    tell(measure, f"{baseline:.2f} s DuckDB", f"{subject:.2f} s", f"{ratio:.2f} of DuckDB's time", "≤ 1.0", ratio <= 1.0)


def growth(program, folder, rows, sizes):
    """Small bills in lakes of their own; then the large one, under another source each time."""
    shutil.rmtree(folder / GROWING, ignore_errors=True)
    times, most, held = {}, 0, 0
    for size in sorted(sizes):
        part = min(size, rows)
        bill = bills(folder, part)[0]
        lake = Bursar(program, folder / GROWING / str(part))
        while held < size:
            most = max(most, lake.ingest(bill, f"source-{held}")[2])
            held += part
        if part < rows:
            held = 0
        with Service(lake, folder) as service:
            rounds = [sum(map(service.ask, CHARGES.values())) for _ in range(4)]
        times[size] = statistics.median(rounds[1:])
        log("growth", size, round(times[size], 2))
    first, last = min(times), max(times)
    ratio = times[last] / times[first] / (last / first)
    told = ", ".join(f"{seconds:.2f} s at {size / 1e6:g} M" for size, seconds in sorted(times.items()))
    tell(
        f"ten questions from {first / 1e6:g} to {last / 1e6:g} million rows, warm",
        "",
        told,
        f"{ratio:.2f} of linear growth",
        "≤ 1.0",
        ratio <= 1.0,
    )
    tell("memory of an ingest into a lake that grows", "", megabytes(most), "", "< 1,024 MiB", most < GIBIBYTE)
    shutil.rmtree(folder / GROWING)


def main():
    program, folder, rows, rounds, sizes = sys.argv[1:]
    folder = pathlib.Path(folder)
    rows, rounds = int(rows), int(rounds)
    lake = ingests(program, folder, rows, rounds)
    questions(lake, folder, rounds)
    if sizes:
        growth(program, folder, rows, [int(size) for size in sizes.split(",")])


if __name__ == "__main__":
    main()
