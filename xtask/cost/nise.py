"""Big bills of other people's making: whatever they are split by, the parts add up to the whole.

usage: nise.py BURSAR FOLDER SEED LAST-DAY

Red Hat's `nise` writes days of an AWS report; four weeks are 219,000 rows of 195 columns. It is ingested as
legacy CSV, packed, as legacy Parquet and as CUR 2.0, whose amounts are doubles as AWS's dictionary
has them. The FOCUS Data Toolkit writes FOCUS 1.2 and 1.3 of three clouds. What Bursar's reports say
is compared with what Python's decimals say of the same rows, to the last digit.
"""

import collections
import csv
import gzip
import os
import pathlib
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from decimal import ROUND_HALF_EVEN, Context, Decimal

import pyarrow
import pyarrow.parquet
from focus_data_toolkit import cli

MONTH = "2026-10"
CLOUDS, VERSIONS, ROWS = ("aws", "azure", "gcp"), ("1.2", "1.3"), 3000
LAKE = Decimal("1E-18")
WIDE = Context(prec=80, rounding=ROUND_HALF_EVEN)
COVERED = "SavingsPlanCoveredUsage"
# What nise's rows tell, and which the dictionary has as double.
DOUBLES = {
    "line_item_usage_amount",
    "line_item_normalization_factor",
    "line_item_normalized_usage_amount",
    "line_item_unblended_cost",
    "line_item_blended_cost",
    "pricing_public_on_demand_cost",
    "reservation_effective_cost",
    "reservation_unused_amortized_upfront_fee_for_billing_period",
    "reservation_unused_recurring_fee",
    "savings_plan_savings_plan_effective_cost",
    "savings_plan_total_commitment_to_date",
    "savings_plan_used_commitment",
}
INSTANTS = {
    "bill_billing_period_start_date",
    "bill_billing_period_end_date",
    "line_item_usage_start_date",
    "line_item_usage_end_date",
}
# The properties of a product that have a column of their own in 2.0; the others are in a map.
PRODUCT = """comment fee_code fee_description from_location from_location_type from_region_code
    instance_family instance_type instancesku location location_type operation pricing_unit
    product_family region_code servicecode sku to_location to_location_type to_region_code
    usagetype""".split()


def generate(folder, seed, last):
    """An AWS report by nise, its dice thrown from the seed."""
    program = (
        "import random, sys, faker; random.seed(int(sys.argv.pop(1)));"
        "faker.Faker.seed(0); from nise.__main__ import main; main()"
    )
    words = ["report", "aws", "-s", f"{MONTH}-01", "-e", f"{MONTH}-{last:02}", "-w"]
    made = pathlib.Path(folder, "legacy")
    made.mkdir()
    command = [sys.executable, "-B", "-c", program, str(seed), *words]
    subprocess.run(command, cwd=made, check=True, capture_output=True)
    return sorted(made.glob("*.csv"))


def rows_of(files):
    for file in files:
        with open(file, newline="", encoding="utf-8-sig") as text:
            yield from csv.DictReader(text)


def snake(name):
    """A column as Parquet has it: lineItem/UsageAmount is line_item_usage_amount."""
    group, rest = name.split("/", 1)
    if group == "resourceTags":
        return f"resource_tags_{rest}".replace(":", "_").lower()
    letters = f"{group}_{rest}".replace(":", "_").replace(" ", "_")
    text = "".join(f"_{c.lower()}" if c.isupper() else c for c in letters)
    return text.replace("__", "_")


def value(name, text):
    if name in DOUBLES:
        return float(text) if text and text != "None" else None
    return text or None


def schema(names, maps=()):
    def kind(name):
        if name in DOUBLES:
            return pyarrow.float64()
        return pyarrow.map_(pyarrow.string(), pyarrow.string()) if name in maps else pyarrow.string()

    return pyarrow.schema([(name, kind(name)) for name in names])


def write(path, rows, shape):
    with pyarrow.parquet.ParquetWriter(path, shape) as writer:
        for at in range(0, len(rows), 20_000):
            table = pyarrow.Table.from_pylist(rows[at : at + 20_000], shape)
            writer.write_table(table)


def legacy(path, rows):
    names = {name: snake(name) for name in rows[0]}
    flat = [{names[key]: value(names[key], text) for key, text in row.items()} for row in rows]
    write(path, flat, schema(dict.fromkeys(names.values())))


def second(path, rows):
    """CUR 2.0: what legacy reports have a column for each of is in maps."""
    groups = {"resourceTags": "resource_tags", "costCategory": "cost_category"}
    maps = ("product", "resource_tags", "cost_category", "discount")

    def place(name):
        group, rest = name.split("/", 1)
        if group in groups:
            return groups[group], rest.replace(":", "_")
        plain = snake(name)
        if group == "product" and plain.removeprefix("product_") not in PRODUCT:
            return "product", plain.removeprefix("product_")
        return plain, None

    places = {name: place(name) for name in rows[0]}
    names = dict.fromkeys([plain for plain, _ in places.values()] + list(maps))
    names |= {"bill_payer_account_name": None, "line_item_usage_account_name": None}

    def row(source):
        made = {name: {} for name in maps}
        for name, text in source.items():
            plain, key = places[name]
            if key is None:
                made[plain] = value(plain, text)
            elif text:
                made[plain][key] = text
        return {key: list(one.items()) if key in maps else one for key, one in made.items()}

    write(path, [row(source) for source in rows], schema(names, maps))


def exact(text):
    return Decimal(text) if text not in ("", "None", "null", None) else Decimal(0)


def kept(number):
    """As the lake keeps a double: eighteen digits behind the point, half to even."""
    return number.quantize(LAKE, context=WIDE)


def double(text):
    return exact(text) and Decimal(repr(float(text)))


class Sums:
    """What rows add up to, by whatever they are split by."""

    def __init__(self):
        self.parts = collections.defaultdict(lambda: collections.defaultdict(Decimal))
        self.rows = 0

    def add(self, costs, dimensions):
        self.rows += 1
        for basis, cost in costs.items():
            for by, name in dimensions.items():
                sums = self.parts[by, basis]
                sums[name] = WIDE.add(sums[name], cost)


def of_report(rows, read):
    sums = Sums()
    for row in rows:
        is_covered = row["lineItem/LineItemType"] == COVERED
        cost = kept(read(row["lineItem/UnblendedCost"]))
        paid = kept(read(row["savingsPlan/SavingsPlanEffectiveCost"])) if is_covered else cost
        currency = row["lineItem/CurrencyCode"]
        region = row.get("product/regionCode") or row.get("product/region") or ""
        sums.add(
            {"billed": Decimal(0) if is_covered else cost, "effective": paid},
            {
                "service": (row["product/ProductName"] or row["lineItem/ProductCode"], currency),
                "region": (region, currency),
                "account": (row["bill/PayerAccountId"], currency),
                "subaccount": (row["lineItem/UsageAccountId"], currency),
                "day": (row["lineItem/UsageStartDate"][:10], currency),
                "resource": (row["lineItem/ResourceId"], currency),
            },
        )
    return sums


def of_focus(rows):
    sums = Sums()
    for row in rows:
        costs = {"billed": "BilledCost", "effective": "EffectiveCost", "list": "ListCost"}
        currency = row["BillingCurrency"]
        columns = {
            "service": "ServiceName",
            "region": "RegionId",
            "account": "BillingAccountId",
            "subaccount": "SubAccountId",
            "charge": "ChargeCategory",
            "resource": "ResourceId",
        }
        dimensions = {by: (row[column], currency) for by, column in columns.items()}
        dimensions["day"] = (row["ChargePeriodStart"][:10], currency)
        sums.add({basis: exact(row[column]) for basis, column in costs.items()}, dimensions)
    return sums


class Lake:
    def __init__(self, program, folder):
        self.program = program
        clean = {name: text for name, text in os.environ.items() if "BURSAR_" not in name}
        self.environment = clean | {"BURSAR_LAKE_URL": str(folder)}

    def run(self, *words):
        command = [self.program, "cost", *map(str, words)]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(command)}: {done.stderr}")
        return done

    def table(self, *words):
        answer = self.run(*words, "--output", "csv").stdout.splitlines()
        return [line for line in csv.reader(answer)][1:]

    def compare(self, name, sums):
        """Every line of every report, and that no line is missing."""
        faults = []
        count = int(self.table("query", "select count(*) from focus_data_table")[0][0])
        if count != sums.rows:
            faults.append(f"{name}: {count} charges of {sums.rows} rows")
        for (by, basis), wanted in sums.parts.items():
            lines = self.table("report", "--by", by, "--basis", basis)
            found = {(part, currency): Decimal(cost) for part, currency, cost in lines}
            if found != dict(wanted):
                differing = [key for key in found | wanted if found.get(key) != wanted.get(key)]
                first = differing[0]
                faults.append(
                    f"{name}: {len(differing)} lines by {by}, {basis}: {first} is "
                    f"{found.get(first)}, not {wanted.get(first)}"
                )
        return faults


def report(program, folder, name, files, sums):
    lake = Lake(program, pathlib.Path(folder, f"lake-{name}"))
    place = pathlib.Path(folder, f"bill-{name}")
    place.mkdir()
    for file in files:
        shutil.move(file, place / file.name)
    told = lake.run("ingest", place, "--source", name).stderr
    faults = lake.compare(name, sums)
    notes = ["digits beyond the 18th", "negations come to 0;"]
    if "parquet" not in name:
        notes.append('"None" where an amount')
    for note in notes:
        if note not in told:
            faults.append(f"{name}: not told of {note!r}: {told}")
    billed = sum(sums.parts["day", "billed"].values())
    parts = sum(len(part) for part in sums.parts.values())
    print(f"nise: {name}: {sums.rows} rows, {billed.normalize():f} billed, {parts} sums")
    return faults


def aws(program, folder, seed, last):
    files = generate(folder, seed, last)
    rows = list(rows_of(files))
    print(f"nise: {len(rows)} rows of {len(rows[0])} columns, seed {seed}")
    texts, doubles = of_report(rows, exact), of_report(rows, double)
    packed, old, new = pathlib.Path(folder, "packed"), *(
        pathlib.Path(folder, f"{name}.parquet") for name in ("old", "new")
    )
    packed.mkdir()
    gz = []
    for file in files:
        gz.append(packed / f"{file.name}.gz")
        with open(file, "rb") as plain, gzip.open(gz[-1], "wb", compresslevel=1) as out:
            shutil.copyfileobj(plain, out)
    legacy(old, rows)
    second(new, rows)
    del rows
    jobs = [
        ("csv", files, texts),
        ("csv-gz", gz, texts),
        ("legacy-parquet", [old], doubles),
        ("cur2-parquet", [new], doubles),
    ]
    with ThreadPoolExecutor(2) as pool:
        return sum(pool.map(lambda job: report(program, folder, *job), jobs), [])


def clouds(program, folder, seed):
    faults, sums, bills = [], Sums(), pathlib.Path(folder, "bills")
    lake = Lake(program, pathlib.Path(folder, "lake-clouds"))
    for version in VERSIONS:
        for cloud in CLOUDS:
            before = set(bills.rglob("*.csv"))
            words = ["generate", "--provider", cloud, "--focus-version", version]
            words += ["--rows", str(ROWS), "--seed", str(seed), "--out", str(bills / version)]
            cli.main(words)
            made = [file for file in set(bills.rglob("*.csv")) - before if "usage" in file.name]
            rows = list(rows_of(made))
            for file in made:
                lake.run("ingest", file, "--source", f"{cloud}-{version}")
            alone = of_focus(rows)
            for key, parts in alone.parts.items():
                for name, cost in parts.items():
                    sums.parts[key][name] = WIDE.add(sums.parts[key][name], cost)
            sums.rows += alone.rows
    faults += lake.compare("clouds", sums)
    parts = sum(len(part) for part in sums.parts.values())
    print(f"nise: FOCUS 1.2 and 1.3 of {len(CLOUDS)} clouds: {sums.rows} rows, {parts} sums")
    return faults


def main():
    program, folder, seed, last = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    faults = clouds(program, folder, seed) + aws(program, folder, seed, last)
    for fault in faults:
        print(f"  {fault}")
    sys.exit(bool(faults))


main()
