-- A line quotes a task of the price book or an item of the stock, by its kind.
UPDATE hs.estimate_line AS l
SET service_task_id = CASE WHEN l.line_kind = 'service' THEN l.service_task_id END,
    stock_item_id = CASE WHEN l.line_kind IN ('equipment', 'material') THEN l.stock_item_id END
WHERE l.business_id = %(business_id)s;

-- What was presented more than two weeks ago and not turned down was sold: mostly the option that
-- was recommended, some days later.
UPDATE hs.estimate AS e
SET status = 'sold',
    selected_option_no = o.option_no,
    sold_at = e.presented_at + (1 + o.place %% 9) * interval '1 day'
FROM (
    SELECT DISTINCT ON (x.estimate_id) x.estimate_id, x.option_no,
           row_number() OVER (ORDER BY x.estimate_id, x.is_recommended DESC, x.option_no) AS place
    FROM hs.estimate_option AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.estimate_id, x.is_recommended DESC, x.option_no
) AS o
WHERE e.business_id = %(business_id)s
  AND e.estimate_id = o.estimate_id
  AND e.status = 'presented'
  AND e.presented_at < (SELECT max(x.presented_at) - interval '14 days'
                        FROM hs.estimate AS x WHERE x.business_id = %(business_id)s);

-- A quote that sold led to a job of the customer that was called in after it.
UPDATE hs.estimate AS e
SET resulting_work_order_id = w.work_order_id
FROM (
    SELECT DISTINCT ON (x.estimate_id) x.estimate_id, j.work_order_id
    FROM hs.estimate AS x
    JOIN hs.work_order AS j
        ON j.business_id = x.business_id
        AND j.service_location_id = x.service_location_id
        AND j.requested_at >= x.sold_at
    WHERE x.business_id = %(business_id)s AND x.status = 'sold'
    ORDER BY x.estimate_id, j.requested_at, j.work_order_id
) AS w
WHERE e.business_id = %(business_id)s AND e.estimate_id = w.estimate_id;
