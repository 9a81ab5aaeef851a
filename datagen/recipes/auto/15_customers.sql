-- A company goes by its name, a person has none.
UPDATE auto.customer AS c
SET company_name = CASE WHEN c.customer_kind IN ('commercial', 'fleet', 'dealer')
                        THEN c.company_name END,
    display_name = CASE WHEN c.customer_kind IN ('commercial', 'fleet', 'dealer')
                        THEN c.company_name ELSE c.display_name END
WHERE c.business_id = %(business_id)s;

-- One in five was sent by another customer; a part of the archived turned out to be one.
WITH numbered AS (
    SELECT x.customer_id, x.status, x.marketing_source,
           row_number() OVER (ORDER BY x.customer_number) AS no,
           first_value(x.customer_id) OVER (
               ORDER BY x.status = 'active' DESC, x.customer_number) AS first_id,
           lag(x.customer_id, 3) OVER (ORDER BY x.customer_number) AS sent_by
    FROM auto.customer AS x
    WHERE x.business_id = %(business_id)s
)
UPDATE auto.customer AS c
SET referred_by_customer_id = CASE WHEN n.marketing_source = 'referral' THEN n.sent_by END,
    merged_into_customer_id = CASE WHEN n.status = 'archived' AND n.no %% 2 = 0
                                        AND n.first_id <> n.customer_id THEN n.first_id END
FROM numbered AS n
WHERE c.business_id = %(business_id)s AND c.customer_id = n.customer_id
  AND (n.marketing_source = 'referral' OR n.status = 'archived');

-- Fleets belong to the fleet customers, in turn, and are approved by the primary contact.
UPDATE auto.fleet_account AS f
SET customer_id = c.customer_id, approver_contact_id = k.customer_contact_id
FROM (SELECT x.fleet_account_id,
             row_number() OVER (ORDER BY x.account_number) - 1 AS no
      FROM auto.fleet_account AS x WHERE x.business_id = %(business_id)s) AS n
JOIN (SELECT x.customer_id,
             row_number() OVER (ORDER BY x.customer_kind = 'fleet' DESC, x.customer_number) - 1
                 AS no,
             greatest(count(*) FILTER (WHERE x.customer_kind = 'fleet') OVER (), 1) AS size
      FROM auto.customer AS x WHERE x.business_id = %(business_id)s) AS c
    ON c.no = n.no %% c.size
JOIN auto.customer_contact AS k
    ON k.business_id = %(business_id)s AND k.customer_id = c.customer_id AND k.is_primary
WHERE f.business_id = %(business_id)s AND f.fleet_account_id = n.fleet_account_id;
