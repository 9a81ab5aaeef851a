-- A category stands under the one whose code begins its own: HVAC-REP under HVAC.
UPDATE hs.pricebook_category AS c
SET parent_category_id = p.pricebook_category_id
FROM hs.pricebook_category AS p
WHERE c.business_id = %(business_id)s
  AND p.business_id = c.business_id AND p.category_code = split_part(c.category_code, '-', 1)
  AND c.category_code <> p.category_code;

-- A task stands in the category of its kind of work.
UPDATE hs.service_task AS t
SET pricebook_category_id = c.pricebook_category_id
FROM hs.pricebook_category AS c
WHERE t.business_id = %(business_id)s
  AND c.business_id = t.business_id
  AND c.category_code = (ARRAY['HVAC-DIAG', 'HVAC-REP', 'HVAC-INS', 'HVAC-MNT', 'HVAC-IAQ',
                               'PLB-DIAG', 'PLB-REP', 'PLB-INS', 'PLB-DRN', 'PLB-WH',
                               'ELE-DIAG', 'ELE-REP', 'ELE-PNL', 'ELE-EV', 'FEE-TRIP'])
                        [1 + right(t.task_code, 4)::integer %% 15];

-- Commercial customers get every fourth item at cost plus 20 percent.
INSERT INTO hs.price_level_entry
    (business_id, price_level_entry_id, price_level_id, stock_item_id, pricing_mode, adjust_pct,
     effective_on, approval_note)
SELECT l.business_id, md5(i.stock_item_id || ' cost plus')::uuid, l.price_level_id,
       i.stock_item_id, 'markup_pct', 20, l.starts_on, 'Cost plus'
FROM hs.price_level AS l
JOIN hs.stock_item AS i ON i.business_id = l.business_id
WHERE l.business_id = %(business_id)s AND l.level_kind = 'commercial'
  AND hashtext(i.sku) %% 4 = 0;
