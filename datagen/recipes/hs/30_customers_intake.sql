-- A company has its name, a person has none.
UPDATE hs.customer AS c
SET company_name = CASE WHEN c.customer_kind <> 'residential' THEN c.company_name END,
    display_name = CASE WHEN c.customer_kind <> 'residential'
                        THEN coalesce(c.company_name, c.display_name) ELSE c.display_name END
WHERE c.business_id = %(business_id)s;

-- A part of the archived customers turned out to be another one.
UPDATE hs.customer AS c
SET merged_into_customer_id = (
    SELECT x.customer_id FROM hs.customer AS x
    WHERE x.business_id = c.business_id AND x.status = 'active'
    ORDER BY x.customer_number LIMIT 1)
WHERE c.business_id = %(business_id)s
  AND c.status = 'archived' AND right(c.customer_number, 1)::integer %% 2 = 0;

-- The zone of an address is the one that its postal code is in.
UPDATE hs.service_location AS l
SET service_territory_id = p.service_territory_id
FROM hs.territory_postal_code AS p
WHERE l.business_id = %(business_id)s
  AND p.business_id = l.business_id AND p.country_code = l.country_code
  AND p.postal_code = l.postal_code AND p.coverage = 'primary' AND p.ends_on IS NULL;

-- The jurisdiction's rate of today.
UPDATE hs.service_location AS l
SET tax_rate_id = n.tax_rate_id
FROM hs.tax_rate AS o
JOIN hs.tax_rate AS n
    ON n.business_id = o.business_id AND n.jurisdiction_code = o.jurisdiction_code
   AND n.tax_kind = o.tax_kind AND n.ends_on IS NULL
WHERE l.business_id = %(business_id)s
  AND o.business_id = l.business_id AND o.tax_rate_id = l.tax_rate_id
  AND o.tax_rate_id <> n.tax_rate_id;

-- Billing is asked for the customer, not for one of its locations.
UPDATE hs.customer_contact AS c
SET service_location_id = NULL
WHERE c.business_id = %(business_id)s AND c.contact_role = 'billing';
