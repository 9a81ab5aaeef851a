-- The flagship is cooked in the restaurant, the virtual brands in the cloud kitchen.
UPDATE rest.brand_kitchen AS b
SET kitchen_id = k.kitchen_id, status = 'live'
FROM rest.virtual_brand AS v
JOIN rest.kitchen AS k
    ON k.business_id = v.business_id
   AND k.kitchen_kind = CASE WHEN v.brand_kind = 'flagship' THEN 'restaurant' ELSE 'cloud' END
WHERE b.business_id = %(business_id)s
  AND v.business_id = b.business_id AND v.virtual_brand_id = b.virtual_brand_id;

-- Each of the three virtual brands is listed on each of the three marketplaces.
UPDATE rest.channel_store_link AS l
SET sales_channel_id = c.sales_channel_id, virtual_brand_id = v.virtual_brand_id,
    kitchen_id = k.kitchen_id, location_id = k.location_id,
    listing_name = v.display_name || ' on ' || c.display_name
FROM (
    SELECT x.channel_store_link_id, row_number() OVER (ORDER BY x.external_store_id) - 1 AS place
    FROM rest.channel_store_link AS x
    WHERE x.business_id = %(business_id)s
) AS n
JOIN (
    SELECT x.sales_channel_id, x.display_name,
           row_number() OVER (ORDER BY x.channel_code) - 1 AS place
    FROM rest.sales_channel AS x
    WHERE x.business_id = %(business_id)s AND x.channel_kind = 'marketplace'
) AS c ON c.place = n.place %% 3
JOIN (
    SELECT x.virtual_brand_id, x.display_name,
           row_number() OVER (ORDER BY x.brand_code) - 1 AS place
    FROM rest.virtual_brand AS x
    WHERE x.business_id = %(business_id)s AND x.brand_kind <> 'flagship'
) AS v ON v.place = n.place / 3
CROSS JOIN (
    SELECT x.kitchen_id, x.location_id
    FROM rest.kitchen AS x
    WHERE x.business_id = %(business_id)s AND x.kitchen_kind = 'cloud'
) AS k
WHERE l.business_id = %(business_id)s AND l.channel_store_link_id = n.channel_store_link_id;

-- A station shows on a screen of its site, and the hot line stands in for grill and fryer.
UPDATE rest.prep_station AS s
SET display_device_id = d.pos_device_id,
    backup_station_id = CASE WHEN s.station_code IN ('GRILL', 'FRY') THEN h.prep_station_id END
FROM rest.kitchen AS k
JOIN rest.prep_station AS h
    ON h.business_id = k.business_id AND h.kitchen_id = k.kitchen_id AND h.station_code = 'HOT'
JOIN LATERAL (
    SELECT x.pos_device_id, row_number() OVER (ORDER BY x.device_code) - 1 AS place
    FROM rest.pos_device AS x
    WHERE x.business_id = k.business_id AND x.location_id = k.location_id
      AND x.device_kind = 'kds_screen'
) AS d ON true
WHERE s.business_id = %(business_id)s
  AND k.business_id = s.business_id AND k.kitchen_id = s.kitchen_id
  AND d.place = CASE s.station_code WHEN 'EXPO' THEN 2 WHEN 'COLD' THEN 1 WHEN 'BAR' THEN 1
                                    ELSE 0 END;
