"""What a row of parts, price sheets and labor usually holds."""

from itertools import count

USUAL = {
    "auto.part_type": {"terminology_code": count(1)},
    "auto.vehicle_configuration": {"model_year": 2020, "base_vehicle_code": count(1)},
    "auto.part": {"part_number": "PN-{n}", "brand_code": "ACME", "description": "Part {n}"},
    "auto.part_interchange": {"relation": "interchange"},
    "auto.canned_job_line": {"line_kind": "fee", "line_seq": count(1)},
    "auto.maintenance_interval": {"interval_distance": 5000},
    "auto.fleet_price_agreement": {"agreement_kind": "price_cap", "cap_amount": 100},
}
