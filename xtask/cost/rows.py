"""Bills with everything in them that the use-case library asks for, from a seed.

FOCUS 1.3, which has the columns of 1.2 as well. Each choice is made alone, so that most pairs of
values meet; amounts have up to twelve digits after the point, which no float holds in a sum.
"""

import csv
import datetime
import json
import random
import sys
from decimal import Decimal

# Two Octobers, and more months and providers than the lake keeps files open for: it compacts.
FIRST, MONTHS = datetime.date(2025, 10, 1), 13
# What the questions' places `?` are filled with: all of it is in the data.
SUB_ACCOUNTS = [(f"sub-{n}", f"Team {n}") for n in range(3)]
SERVICES = [
    ("Compute", "Virtual Machines", "Amazon EC2"),
    ("Compute", "Serverless Compute", "Functions"),
    ("Storage", "Object Storage", "Amazon S3"),
    ("AI and Machine Learning", "Generative AI", "Bedrock"),
    ("Networking", "Content Delivery", "CDN"),
]
PROVIDERS = ["AWS", "Microsoft", "Snowflake"]
CURRENCIES = ["USD", "EUR", "Credits"]
RESOURCES = [f"resource/{n}" for n in range(12)]
APPLICATIONS = ["shop", 'quoted "app"', "größe", None]


def month(number):
    """The first day of a month, counted from the first."""
    months = FIRST.month - 1 + number
    return datetime.date(FIRST.year + months // 12, months % 12 + 1, 1)


def instant(day, hour=0):
    return f"{day.isoformat()}T{hour:02}:00:00Z"


def amount(dice):
    return Decimal(dice.randrange(1, 10**9)).scaleb(-dice.choice([2, 6, 9, 12]))


def row(dice):
    number = dice.randrange(MONTHS)
    start, end = month(number), month(number + 1)
    day = start + datetime.timedelta(days=dice.randrange((end - start).days))
    hour = dice.randrange(23)
    category = dice.choice(["Usage"] * 6 + ["Purchase"] * 3 + ["Credit", "Tax", "Adjustment"])
    usage, purchase = category == "Usage", category == "Purchase"
    sign = -1 if category == "Credit" else 1
    provider, host = dice.choice(PROVIDERS), dice.choice(PROVIDERS)
    issuer = dice.choice([provider, host])
    account, sub = dice.randrange(2), dice.choice(SUB_ACCOUNTS)
    service = dice.choice(SERVICES)
    price = amount(dice)
    quantity = Decimal(dice.randrange(1, 5000)).scaleb(-2)
    listed = price * quantity * sign
    resource = dice.choice([*RESOURCES, None]) if usage else None
    region = dice.choice([("eu-west-1", "Ireland"), ("us-east-1", "Virginia"), (None, None)])
    committed = (usage or purchase) and dice.random() < 0.4
    reserved = usage and service[0] == "Compute" and dice.random() < 0.5
    allocated = usage and resource and dice.random() < 0.3
    sku = dice.randrange(4)
    currency = dice.choice(CURRENCIES)
    commitment = {
        "ContractId": "contract-1",
        # As 1.3 calls it; in 1.4, which the lake holds, it ends in Id.
        "ContractCommitmentID": f"commitment-{dice.randrange(3)}",
        "ContractCommitmentAppliedCost": dice.randrange(1000) / 4,
    }
    elements = {"Elements": [commitment] * dice.randrange(1, 3)}
    details = {"InstanceSeries": dice.choice(["M6i", "C7g"]), "CoreCount": dice.choice([2, 4, 8])}
    if dice.random() < 0.3:
        details = {"StorageClass": "Standard"}
    application = dice.choice(APPLICATIONS)
    tags = {"ApplicationId": f"app-{sku}", "team": "core"}
    if application:
        tags["Application"] = application
    return {
        "AllocatedMethodId": "split-even" if allocated else None,
        "AllocatedMethodDetails": '{"Elements":[]}' if allocated else None,
        "AllocatedResourceId": f"workload/{sku}" if allocated else None,
        "AllocatedResourceName": f"Workload {sku}" if allocated else None,
        "AllocatedTags": '{"workload":"web"}' if allocated else None,
        "AvailabilityZone": f"{region[0]}a" if region[0] and dice.random() < 0.7 else None,
        "BilledCost": listed * dice.choice([0, 1]),
        "BillingAccountId": f"account-{account}",
        "BillingAccountName": f"Account {account}",
        "BillingAccountType": "Payer",
        "BillingCurrency": dice.choice(["USD", "EUR"]),
        "BillingPeriodEnd": instant(end),
        "BillingPeriodStart": instant(start),
        "CapacityReservationId": f"reservation-{sku}" if reserved else None,
        "CapacityReservationStatus": dice.choice(["Used", "Unused"]) if reserved else None,
        "ChargeCategory": category,
        # The library asks for what is not 'Correction', and FOCUS has no other class.
        "ChargeClass": dice.choice(["Correction", "Other", None, None, None, None]),
        "ChargeDescription": dice.choice(["Data transfer out", "Hours", "Virtual currency"]),
        "ChargeFrequency": dice.choice(["Recurring", "One-Time"]) if purchase else "Usage-Based",
        "ChargePeriodEnd": instant(day, hour + 1),
        "ChargePeriodStart": instant(day, hour),
        "CommitmentDiscountCategory": "Spend" if committed else None,
        "CommitmentDiscountId": f"discount-{sku}" if committed else None,
        "CommitmentDiscountName": f"Discount {sku}" if committed else None,
        "CommitmentDiscountQuantity": quantity if committed else None,
        "CommitmentDiscountStatus": dice.choice(["Used", "Unused"]) if committed and usage else None,
        "CommitmentDiscountType": "Savings Plan" if committed else None,
        "CommitmentDiscountUnit": "USD" if committed else None,
        "ConsumedQuantity": quantity if usage else None,
        "ConsumedUnit": dice.choice(["GB", "Hours"]) if usage else None,
        "ContractApplied": json.dumps(elements) if dice.random() < 0.4 else None,
        "ContractedCost": listed * Decimal("0.9"),
        "ContractedUnitPrice": price * Decimal("0.9"),
        "EffectiveCost": listed * Decimal("0.7"),
        "HostProviderName": host,
        "InvoiceId": f"invoice-{provider}-{number}",
        "InvoiceIssuerName": issuer,
        "ListCost": listed,
        "ListUnitPrice": price,
        "PricingCategory": "Committed" if committed else "Standard",
        "PricingCurrency": currency,
        "PricingCurrencyContractedUnitPrice": price * dice.choice([1, Decimal("0.8")]),
        "PricingCurrencyEffectiveCost": listed * Decimal("0.7"),
        "PricingCurrencyListUnitPrice": price,
        "PricingQuantity": quantity,
        "PricingUnit": dice.choice(["Hours", "Credits"]),
        "ProviderName": provider,
        "PublisherName": host,
        "RegionId": region[0],
        "RegionName": region[1],
        "ResourceId": resource,
        "ResourceName": resource and resource.title(),
        "ResourceType": resource and "Thing",
        "ServiceCategory": service[0],
        "ServiceName": service[2],
        "ServiceProviderName": provider,
        "ServiceSubcategory": service[1],
        "SkuId": f"sku-{sku}",
        "SkuMeter": "Meter",
        "SkuPriceDetails": json.dumps(details),
        "SkuPriceId": f"price-{sku}",
        "SubAccountId": sub[0],
        "SubAccountName": sub[1],
        "SubAccountType": "Team",
        "Tags": json.dumps(tags, ensure_ascii=dice.random() < 0.5) if dice.random() < 0.9 else None,
    }


def write(path, seed, count):
    dice = random.Random(seed)
    made = [row(dice) for _ in range(count)]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, made[0])
        writer.writeheader()
        for values in made:
            # As the specification writes numbers: no exponent.
            plain = {
                name: f"{value:f}" if isinstance(value, Decimal) else value
                for name, value in values.items()
            }
            writer.writerow(plain)


if __name__ == "__main__":
    write(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
