SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- Firms buy wholesale or as trade, the staff and the best customers at prices of their own; a
-- firm has a firm's name; nobody's home is a warehouse.
UPDATE ret.customer AS c
SET customer_group_id = g.customer_group_id,
    display_name = CASE WHEN c.customer_kind = 'company'
                        THEN split_part(c.display_name, ' ', 2)
                             || CASE n.place %% 4 WHEN 0 THEN ' Interiors' WHEN 1 THEN ' Supply'
                                                  WHEN 2 THEN ' & Sons' ELSE ' Trading' END
                        ELSE c.display_name END,
    home_location_id = l.location_id
FROM (
    SELECT x.customer_id, x.home_location_id,
           row_number() OVER (PARTITION BY x.customer_kind
                              ORDER BY x.customer_number) AS place,
           CASE WHEN x.customer_kind = 'company' THEN NULL ELSE x.is_guest END AS is_guest,
           x.customer_kind
    FROM ret.customer AS x
    WHERE x.business_id = %(business_id)s
) AS n
LEFT JOIN ret.customer_group AS g
    ON g.business_id = %(business_id)s
   AND g.group_code = CASE
           WHEN n.customer_kind = 'company'
           THEN CASE WHEN n.place %% 10 < 4 THEN 'WHOLESALE'
                     WHEN n.place %% 10 < 8 THEN 'TRADE' ELSE 'TRADE-PLUS' END
           WHEN n.is_guest THEN NULL
           WHEN n.place %% 100 = 7 THEN 'STAFF'
           WHEN n.place %% 100 IN (3, 31, 59, 83) THEN 'VIP'
           WHEN n.place %% 10 = 5 THEN 'RETAIL' END
LEFT JOIN ret.location AS l
    ON l.business_id = %(business_id)s AND l.location_id = n.home_location_id
   AND l.location_kind IN ('store', 'pop_up')
WHERE c.business_id = %(business_id)s AND c.customer_id = n.customer_id;

UPDATE ret.customer_address AS a
SET company_name = CASE WHEN c.customer_kind = 'company' THEN c.display_name END
FROM ret.customer AS c
WHERE a.business_id = %(business_id)s AND c.customer_kind = 'company'
  AND c.business_id = a.business_id AND c.customer_id = a.customer_id;

-- Those who sign in to the shop with an account.
UPDATE ret.customer AS c
SET user_account_id = a.user_account_id
FROM (
    SELECT x.customer_id, row_number() OVER (ORDER BY x.customer_number) AS place
    FROM ret.customer AS x
    WHERE x.business_id = %(business_id)s AND NOT x.is_guest AND x.email IS NOT NULL
      AND x.status = 'active' AND x.customer_kind = 'person'
) AS n
JOIN (
    SELECT x.user_account_id, row_number() OVER (ORDER BY x.username) AS place
    FROM user_mgmt.user_account AS x
    WHERE x.business_id = %(business_id)s AND x.account_kind = 'customer'
) AS a ON a.place = n.place
WHERE c.business_id = %(business_id)s AND c.customer_id = n.customer_id;

-- What was agreed to at sign-up, and what some took back later.
INSERT INTO ret.customer_consent
    (business_id, customer_consent_id, customer_id, purpose, contact_channel, decision,
     decided_at, source, wording_version, ip_address, expires_on, created_at)
SELECT c.business_id, md5(a.purpose || a.contact_channel || d.decision || c.customer_id)::uuid,
       c.customer_id, a.purpose, a.contact_channel, d.decision, t.moment, a.source,
       CASE d.decision WHEN 'granted' THEN '2022-2' END,
       CASE WHEN a.source = 'web'
            THEN ('203.0.113.' || (('x' || substr(md5(c.customer_number), 1, 2))::bit(8)::integer))
                 ::inet END,
       NULL, t.moment
FROM (
    SELECT x.*,
           ('x' || substr(md5(x.customer_number || 'mail'), 1, 7))::bit(28)::integer AS mail,
           ('x' || substr(md5(x.customer_number || 'text'), 1, 7))::bit(28)::integer AS text,
           ('x' || substr(md5(x.customer_number || 'rest'), 1, 7))::bit(28)::integer AS rest
    FROM ret.customer AS x
    WHERE x.business_id = %(business_id)s
) AS c
CROSS JOIN LATERAL (
    VALUES ('terms', 'none', NOT c.is_guest, false),
           ('marketing', 'email', c.email IS NOT NULL AND c.mail %% 100 < 70,
            c.mail %% 100 < 6),
           ('marketing', 'sms', c.phone IS NOT NULL AND c.text %% 100 < 34,
            c.text %% 100 < 4),
           ('profiling', 'none', NOT c.is_guest AND c.rest %% 100 < 18, c.rest %% 100 < 2),
           ('loyalty', 'none', NOT c.is_guest AND c.rest %% 20 < 11, false)
) AS v (purpose, contact_channel, is_granted, is_withdrawn)
CROSS JOIN LATERAL (
    SELECT v.purpose, v.contact_channel,
           CASE c.acquisition_channel WHEN 'store' THEN 'pos' WHEN 'referral' THEN 'web'
                                      WHEN 'marketplace' THEN 'web'
                                      ELSE c.acquisition_channel END AS source
) AS a
CROSS JOIN (VALUES ('granted'), ('withdrawn')) AS d (decision)
CROSS JOIN LATERAL (
    SELECT CASE d.decision
           WHEN 'granted' THEN c.created_at + interval '1 minute'
           ELSE c.created_at + (%(as_of)s::timestamptz - c.created_at)
                               * (30 + c.rest %% 60) / 100 END AS moment
) AS t
WHERE v.is_granted AND (d.decision = 'granted' OR v.is_withdrawn);

-- Certificates of firms, of the state where there is one.
INSERT INTO ret.tax_exemption
    (business_id, tax_exemption_id, customer_id, tax_jurisdiction_id, certificate_number,
     exemption_kind, issued_on, expires_on, verified_at, is_blanket, status, created_at)
SELECT c.business_id, md5('exemption ' || c.customer_id)::uuid, c.customer_id,
       j.tax_jurisdiction_id, 'EX-' || upper(substr(md5(c.customer_number), 1, 8)),
       CASE WHEN c.place %% 9 = 4 THEN 'non_profit' WHEN c.place %% 9 = 7 THEN 'government'
            WHEN c.place %% 13 = 5 THEN 'agriculture' ELSE 'resale' END,
       d.issued_on, d.issued_on + 1095,
       CASE WHEN d.status IN ('valid', 'expired')
            THEN (d.issued_on + 3)::timestamp AT TIME ZONE 'UTC' END,
       true, d.status, d.issued_on::timestamp AT TIME ZONE 'UTC'
FROM (
    SELECT x.*, row_number() OVER (ORDER BY x.customer_kind, x.customer_number) AS place,
           count(*) OVER () AS customers
    FROM ret.customer AS x
    WHERE x.business_id = %(business_id)s AND NOT x.is_guest
) AS c
CROSS JOIN (
    SELECT x.tax_jurisdiction_id
    FROM ret.tax_jurisdiction AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.level_kind <> 'state', x.region_code IS DISTINCT FROM 'IL', x.jurisdiction_code
    LIMIT 1
) AS j
CROSS JOIN LATERAL (
    SELECT CASE WHEN c.place > 1 AND c.place %% 10 = 3 THEN 'expired'
                WHEN c.place > 1 AND c.place %% 12 = 5 THEN 'pending'
                WHEN c.place > 1 AND c.place %% 25 = 8 THEN 'rejected' ELSE 'valid' END AS status
) AS s
CROSS JOIN LATERAL (
    SELECT s.status,
           %(as_of)s::date - CASE s.status WHEN 'expired' THEN 1110 + c.place::integer %% 300
                                           WHEN 'pending' THEN 2
                                           ELSE 30 + (c.place::integer * 37) %% 900 END
               AS issued_on
) AS d
WHERE c.place <= greatest(1, c.customers / 75);

-- The same person signed up twice: the second becomes the first.
UPDATE ret.customer AS c
SET status = 'merged', merged_into_customer_id = t.customer_id
FROM (
    SELECT x.customer_id, row_number() OVER (ORDER BY x.customer_number) AS place
    FROM ret.customer AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
      AND x.customer_kind = 'person' AND x.user_account_id IS NULL
) AS n
JOIN (
    SELECT x.customer_id, row_number() OVER (ORDER BY x.customer_number) AS place
    FROM ret.customer AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
      AND x.customer_kind = 'person' AND x.user_account_id IS NULL
) AS t ON t.place = n.place - 3
WHERE c.business_id = %(business_id)s AND c.customer_id = n.customer_id AND n.place %% 100 = 42;

-- Two in a thousand asked to be forgotten.
UPDATE ret.customer AS c
SET status = 'erased'
FROM (
    SELECT x.customer_id, row_number() OVER (ORDER BY x.customer_number) AS place
    FROM ret.customer AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
      AND x.customer_kind = 'person'
      AND NOT EXISTS (SELECT FROM ret.customer AS m
                      WHERE m.business_id = x.business_id
                        AND m.merged_into_customer_id = x.customer_id)
) AS n
WHERE c.business_id = %(business_id)s AND c.customer_id = n.customer_id AND n.place %% 470 = 60;

-- Lists belong to people who have an account; registries to the first of them.
UPDATE ret.wish_list AS l
SET customer_id = t.customer_id
FROM (
    SELECT x.wish_list_id, row_number() OVER (ORDER BY x.share_token) AS place
    FROM ret.wish_list AS x
    JOIN ret.customer AS c
        ON c.business_id = x.business_id AND c.customer_id = x.customer_id
       AND (c.is_guest OR c.status <> 'active' OR c.customer_kind = 'company'
            OR c.created_at > x.created_at)
    WHERE x.business_id = %(business_id)s
) AS n
JOIN (
    SELECT x.customer_id,
           row_number() OVER (ORDER BY md5(x.customer_number)) AS place,
           count(*) OVER () AS customers
    FROM ret.customer AS x
    WHERE x.business_id = %(business_id)s AND NOT x.is_guest AND x.status = 'active'
      AND x.customer_kind = 'person'
      AND x.created_at < %(as_of)s::timestamptz - interval '90 days'
) AS t ON t.place = 1 + (n.place - 1) %% t.customers
WHERE l.business_id = %(business_id)s AND l.wish_list_id = n.wish_list_id;
