"""The official validator on a FOCUS 1.2 data set that went through the lake.

usage: validator.py BURSAR FOLDER SEED

It judges twice: the made bills as they are, read and typed by DuckDB, and what Bursar gives back of
them. Each rule must be kept or broken by both alike, as often; and each that is broken must be known.
"""

import csv
import os
import pathlib
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import duckdb
import focus_validator
from focus_data_toolkit import cli

ROWS = 600
CLOUDS = ("aws", "azure", "gcp")
# Rules that the made bills break in the validator's eyes, and whose fault that is. Rules that fail
# because one of these is part of them are not named: the validator names them all.
KNOWN = {
    # The model is wrong (FOCUS_Spec #2393, #2394): null without a reservation is right.
    "CapacityReservationStatus-C-004-C",
    # The specification wants it for usage; the model forgets the condition, and asks it of purchases
    # and of charges without a commitment.
    "CommitmentDiscountStatus-C-004-C",
    # Only for purchases that cover later charges; the model asks it of every purchase. The bills
    # have subscriptions, too.
    "EffectiveCost-C-005-C",
    # Only for charges on no invoice, which no column tells; the model asks it of all.
    "InvoiceId-C-004-C",
}


def make(folder, seed):
    for cloud in CLOUDS:
        words = ["generate", "--provider", cloud, "--focus-version", "1.2"]
        cli.main([*words, "--rows", str(ROWS), "--seed", str(seed), "--out", f"{folder}/bills"])
    return sorted(pathlib.Path(folder, "bills").glob("focus_1_2_cost_and_usage_*.csv"))


def typed(bills, parquet):
    """The bills as Parquet with the specification's types, by other means than ours."""
    with open(bills[0], newline="", encoding="utf-8") as file:
        names = next(csv.reader(file))

    def column(name):
        if name.endswith(("Cost", "Price", "Quantity")):
            return f'cast("{name}" as decimal(38, 18)) as "{name}"'
        if name.endswith(("PeriodStart", "PeriodEnd")):
            return f'cast("{name}" as timestamptz) as "{name}"'
        return f'"{name}"'

    duck = duckdb.connect()
    duck.execute("set TimeZone = 'UTC'")
    files = [str(bill) for bill in bills]
    source = f"read_csv({files}, all_varchar = true, header = true, union_by_name = true)"
    columns = ", ".join(map(column, names))
    duck.execute(f"copy (select {columns} from {source}) to '{parquet}' (format parquet)")
    return names


def judged(folder, parquet):
    """How often each rule is broken that is not kept."""
    program = pathlib.Path(sys.executable).parent / "focus-validator"
    words = ["--data-file", parquet, "--validate-version", "1.2", "--block-download"]
    command = [program, *words, "--applicability-criteria", "ALL"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    report = done.stdout
    lines = re.findall(r"^❌ (\S+): FAIL\s+\(violations=(\d+), msg=(.*)$", report, re.M)
    kept = re.findall(r"^✅ (\S+): PASS", report, re.M)
    if len(kept) < 100:
        sys.exit(f"the validator judged {len(kept)} rules:\n{report[-2000:]}\n{done.stderr[-2000:]}")
    return kept, {rule: (int(count), message) for rule, count, message in lines}


def main():
    program, folder, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
    print(f"validator: seed {seed}")
    bills = make(folder, seed)
    before, after = f"{folder}/before.parquet", f"{folder}/after.parquet"
    names = typed(bills, before)
    kept = {name: value for name, value in os.environ.items() if "BURSAR_" not in name}
    environment = kept | {"BURSAR_LAKE_URL": f"{folder}/lake"}

    def bursar(*words):
        subprocess.run([program, "cost", *words], env=environment, check=True, capture_output=True)

    for bill in bills:
        bursar("ingest", str(bill), "--source", bill.stem)
    columns = ", ".join(names)
    bursar("query", f"select {columns} from focus_data_table", "--to", after)
    # The validator opens a file of its own by a path from the working directory.
    link = pathlib.Path(folder, "focus_validator")
    link.symlink_to(pathlib.Path(focus_validator.__file__).parent)
    with ThreadPoolExecutor(2) as pool:
        (_, given), (kept, found) = pool.map(lambda file: judged(folder, file), (before, after))
    parts = {rule: one for rule, one in found.items() if "failed child rules" not in one[1]}
    print(f"validator: {len(kept)} rules kept, {len(parts)} broken as in the input")
    failed = False
    for rule in sorted(given.keys() | found.keys()):
        if broken(given, rule) != broken(found, rule):
            print(f"  {rule}: {given.get(rule)} in the bills, {found.get(rule)} out of the lake")
            failed = True
    for rule in sorted(parts.keys() - KNOWN):
        print(f"  {rule}: not known: {parts[rule]}")
        failed = True
    sys.exit(failed)


def broken(table, rule):
    """How often; the message beside it tells how long the rule took, too."""
    return table.get(rule, (0,))[0]


main()
