"""Delivers bills as AWS Data Exports and Azure's exports do: into a folder, and the same to S3.

usage: delivery.py ENDPOINT BUCKET FOLDER EXECUTION SEED
"""

import csv
import gzip
import io
import json
import pathlib
import random
import sys

import boto3

import rows

endpoint, bucket, folder, execution, seed = sys.argv[1:]
MONTHS = 3
COUNT = 1500


def bills(dice):
    """The text of a bill for each month, oldest first."""
    made = {}
    for _ in range(COUNT * rows.MONTHS // MONTHS):
        row = rows.row(dice)
        made.setdefault(row["BillingPeriodStart"][:7], []).append(row)
    for month in sorted(made)[:MONTHS]:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, made[month][0])
        writer.writeheader()
        for row in made[month]:
            writer.writerow({k: f"{v:f}" if isinstance(v, rows.Decimal) else v for k, v in row.items()})
        yield month, len(made[month]), text.getvalue().encode()


def aws(dice):
    """Overwrites: the same names each time."""
    for month, _, text in bills(dice):
        key = f"out/aws/data/BILLING_PERIOD={month}/aws-00001.csv.gz"
        manifest = {"executionId": f"{execution}-aws", "dataFiles": [f"s3://{bucket}/{key}"]}
        yield key, gzip.compress(text, mtime=0)
        yield f"out/aws/metadata/BILLING_PERIOD={month}/aws-Manifest.json", manifest


def azure(dice):
    """A folder for each run; older ones stay."""
    for month, count, text in bills(dice):
        first = rows.datetime.date.fromisoformat(f"{month}-01")
        last = (first + rows.datetime.timedelta(days=31)).replace(day=1) - rows.datetime.timedelta(days=1)
        run = f"{execution}-{month}"
        below = f"out/azure/{first:%Y%m%d}-{last:%Y%m%d}/{run}"
        blob = {"blobName": f"{below}/part_0_0001.csv", "byteCount": len(text), "dataRowCount": count}
        manifest = {
            "manifestVersion": "2024-04-01",
            "byteCount": len(text),
            "blobCount": 1,
            "dataRowCount": count,
            "exportConfig": {"exportName": "focus", "type": "FocusCost"},
            "runInfo": {
                "runId": run,
                "submittedTime": f"2026-11-{int(execution[1:]) + 10:02}T06:12:44.1234567Z",
                "startDate": f"{first}T00:00:00",
                "endDate": f"{last}T00:00:00",
            },
            "blobs": [blob],
        }
        yield f"{below}/part_0_0001.csv", text
        yield f"{below}/manifest.json", manifest


s3 = boto3.client("s3", endpoint_url=endpoint)
dice = random.Random(int(seed))
for key, content in [*aws(dice), *azure(dice)]:
    if isinstance(content, dict):
        content = json.dumps(content).encode()
    path = pathlib.Path(folder, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    s3.put_object(Bucket=bucket, Key=key, Body=content)
