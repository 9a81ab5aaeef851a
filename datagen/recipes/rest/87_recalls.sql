SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- What came in of listed foods (of any, where a small kitchen buys none of them).
INSERT INTO rest.traceability_event
    (business_id, traceability_event_id, stock_lot_id, location_id, vendor_id, occurred_at,
     cte_kind, traceability_lot_code, lot_code_source, quantity, unit_code, document_kind,
     document_number, ship_from_gln, kde_doc, retain_until)
SELECT l.business_id, md5('traced ' || l.stock_lot_id)::uuid, l.stock_lot_id, a.location_id,
       CASE WHEN k.kind = 'receiving' THEN v.vendor_id END, k.happened, k.kind,
       coalesce(l.traceability_lot_code, l.lot_code), coalesce(v.legal_name, p.display_name),
       l.initial_qty, u.unit_code,
       CASE k.kind WHEN 'receiving' THEN 'delivery_note' WHEN 'shipping' THEN 'transfer'
                   ELSE 'batch' END,
       'DN-' || upper(right(l.stock_lot_id::text, 10)),
       CASE WHEN k.kind = 'receiving' AND v.gln ~ '^[0-9]{13}$' THEN v.gln END,
       jsonb_strip_nulls(jsonb_build_object(
           'product_description', i.display_name, 'quantity', l.initial_qty,
           'source', CASE WHEN k.kind = 'receiving' THEN v.legal_name ELSE p.display_name END,
           'receiver', p.display_name, 'received_on', l.received_on,
           'reference', 'DN-' || upper(right(l.stock_lot_id::text, 10)))),
       (k.happened AT TIME ZONE 'UTC' + interval '24 months')::date
FROM rest.stock_lot AS l
JOIN rest.inventory_item AS i
    ON i.business_id = l.business_id AND i.inventory_item_id = l.inventory_item_id
JOIN rest.unit_of_measure AS u
    ON u.business_id = i.business_id AND u.unit_of_measure_id = i.stock_unit_id
JOIN rest.storage_area AS a
    ON a.business_id = l.business_id AND a.storage_area_id = l.storage_area_id
JOIN rest.location AS p ON p.business_id = a.business_id AND p.location_id = a.location_id
LEFT JOIN (
    SELECT x.inventory_item_id,
           (array_agg(x.vendor_id ORDER BY x.is_preferred DESC, x.vendor_item_id))[1] AS vendor_id
    FROM rest.vendor_item AS x
    WHERE x.business_id = %(business_id)s
    GROUP BY x.inventory_item_id
) AS o ON o.inventory_item_id = l.inventory_item_id
LEFT JOIN rest.vendor AS v ON v.business_id = l.business_id AND v.vendor_id = o.vendor_id
CROSS JOIN LATERAL (
    SELECT CASE WHEN l.source_kind = 'production' OR v.vendor_id IS NULL THEN 'transformation'
                WHEN l.source_kind = 'transfer' THEN 'shipping' ELSE 'receiving' END AS kind,
           least((l.received_on + time '14:00') AT TIME ZONE 'UTC', %(as_of)s) AS happened
) AS k
WHERE l.business_id = %(business_id)s AND l.initial_qty > 0
  AND l.received_on <= %(as_of)s::date
  AND (i.on_traceability_list
       OR NOT EXISTS (
           SELECT FROM rest.stock_lot AS y
           JOIN rest.inventory_item AS z
               ON z.business_id = y.business_id AND z.inventory_item_id = y.inventory_item_id
           WHERE y.business_id = %(business_id)s AND z.on_traceability_list
             AND y.initial_qty > 0 AND y.received_on <= %(as_of)s::date));

-- Four recalls: of what was used up, of what was cleared, one contained, one of this morning.
CREATE TEMPORARY TABLE recalled_lot ON COMMIT DROP AS
SELECT c.*, r.number, r.class, r.agency, r.state, r.disposition,
       md5('recall ' || r.number || %(business_id)s)::uuid AS recall_id
FROM (
    SELECT l.stock_lot_id, l.inventory_item_id, l.lot_code, l.initial_qty, l.remaining_qty,
           l.remaining_qty > 0 AS is_left, coalesce(m.sales, 0) AS sales,
           greatest(m.latest, l.received_on::timestamp AT TIME ZONE 'UTC') AS latest,
           row_number() OVER (
               PARTITION BY l.remaining_qty > 0
               ORDER BY coalesce(m.sales, 0) DESC, l.lot_code, l.stock_lot_id) AS place
    FROM rest.stock_lot AS l
    LEFT JOIN (
        SELECT x.stock_lot_id, max(x.occurred_at) AS latest,
               count(*) FILTER (WHERE x.source_kind = 'check_item') AS sales
        FROM rest.stock_movement AS x
        WHERE x.business_id = %(business_id)s AND x.stock_lot_id IS NOT NULL
        GROUP BY x.stock_lot_id
    ) AS m ON m.stock_lot_id = l.stock_lot_id
    WHERE l.business_id = %(business_id)s AND l.source_kind <> 'production'
      AND l.received_on < %(as_of)s::date
      AND l.initial_qty > 0
      AND (l.remaining_qty = 0
           OR (l.status IN ('available', 'recalled') AND l.remaining_qty > 0))
) AS c
JOIN (VALUES
    (1, false, 1, 2, 'class_2', 'usda_fsis', 'closed', 'already_used'),
    (2, true, 4, 4, 'class_3', 'fda', 'closed', 'cleared'),
    (3, true, 2, 3, 'class_1', 'fda', 'contained', 'quarantined'),
    (4, true, 1, 1, 'class_2', 'fda', 'open', 'pending')
) AS r (number, is_left, first, last, class, agency, state, disposition)
    ON r.is_left = c.is_left AND c.place BETWEEN r.first AND r.last;

INSERT INTO rest.product_recall
    (business_id, product_recall_id, recall_number, recall_class, agency, product_description,
     hazard_text, announced_at, received_at, affected_products_doc, instruction_text, state,
     closed_at)
SELECT %(business_id)s, r.recall_id, 'RC-2026-' || lpad((100 + r.number * 17)::text, 4, '0'),
       r.class, r.agency, i.names,
       CASE r.class WHEN 'class_1' THEN 'Listeria monocytogenes'
                    WHEN 'class_2' THEN 'Undeclared milk' ELSE 'Wrong net weight' END,
       r.received_at - interval '40 minutes', r.received_at, r.products,
       'Stop using it, hold it apart and report what is left.', r.state,
       CASE WHEN r.state = 'closed'
            THEN least(r.received_at + interval '2 days', %(as_of)s) END
FROM (
    SELECT x.recall_id, x.number, x.class, x.agency, x.state,
           least(%(as_of)s, greatest(
               %(as_of)s::timestamptz - CASE x.number WHEN 1 THEN interval '12 days'
                                                      WHEN 2 THEN interval '6 days'
                                                      WHEN 3 THEN interval '5 hours'
                                                      ELSE interval '2 hours' END,
               max(x.latest) + interval '1 minute')) AS received_at,
           jsonb_agg(jsonb_build_object('lot_from', x.lot_code)
                     ORDER BY x.lot_code, x.stock_lot_id) AS products
    FROM recalled_lot AS x
    GROUP BY x.recall_id, x.number, x.class, x.agency, x.state
) AS r
JOIN (
    SELECT x.recall_id, string_agg(DISTINCT n.display_name, ', ' ORDER BY n.display_name) AS names
    FROM recalled_lot AS x
    JOIN rest.inventory_item AS n
        ON n.business_id = %(business_id)s AND n.inventory_item_id = x.inventory_item_id
    GROUP BY x.recall_id
) AS i ON i.recall_id = r.recall_id;

-- The few lots are followed step by step.
SET LOCAL enable_nestloop = on;
INSERT INTO rest.recall_lot
    (business_id, recall_lot_id, product_recall_id, stock_lot_id, matched_by, matched_at,
     on_hand_qty, used_qty, exposed_order_count, disposition, disposed_at, handled_by_staff_id)
SELECT r.business_id, md5('recalled ' || x.number || x.stock_lot_id)::uuid, r.product_recall_id,
       x.stock_lot_id, 'lot_code', r.received_at, x.remaining_qty, x.initial_qty - x.remaining_qty,
       (SELECT count(DISTINCT e.guest_order_id) FROM rest.lot_exposure(x.stock_lot_id) AS e),
       x.disposition, r.closed_at, CASE WHEN x.disposition <> 'pending' THEN m.staff_member_id END
FROM recalled_lot AS x
JOIN rest.product_recall AS r
    ON r.business_id = %(business_id)s AND r.product_recall_id = x.recall_id
CROSS JOIN (
    SELECT y.staff_member_id
    FROM rest.staff_member AS y
    WHERE y.business_id = %(business_id)s AND y.status = 'active'
    ORDER BY y.employee_number
    LIMIT 1
) AS m;
SET LOCAL enable_nestloop = off;

UPDATE rest.stock_lot AS l
SET status = 'recalled'
FROM recalled_lot AS x
WHERE l.business_id = %(business_id)s AND l.stock_lot_id = x.stock_lot_id
  AND x.disposition IN ('pending', 'quarantined') AND l.status <> 'recalled';

-- Every deviation is answered; what is older than four days was done and verified by another.
INSERT INTO rest.corrective_action
    (business_id, corrective_action_id, assigned_staff_id, verified_by_staff_id,
     temperature_log_id, cooling_log_id, checklist_run_id, inspection_violation_id, recall_lot_id,
     food_safety_incident_id, action_number, trigger_kind, deviation_text, action_text,
     product_disposition, discarded_qty, opened_at, due_at, completed_at, verified_at, root_cause,
     preventive_step, state)
SELECT %(business_id)s, d.id, m.ids[1 + d.place %% m.people],
       CASE WHEN s.state = 'verified' THEN m.ids[1 + (d.place + 1) %% m.people] END,
       d.temperature_log_id, d.cooling_log_id, d.checklist_run_id, d.inspection_violation_id,
       d.recall_lot_id, d.food_safety_incident_id, 'CA-' || upper(right(d.id::text, 12)), d.kind,
       d.deviation, CASE WHEN s.is_done THEN d.answer END,
       CASE WHEN s.is_done THEN d.disposition END,
       CASE WHEN s.is_done AND d.disposition = 'discarded' THEN 1 + d.place %% 6 END, d.opened_at,
       d.opened_at + interval '3 days',
       CASE WHEN s.is_done THEN d.opened_at + (2 + d.place %% 40) * interval '1 hour' END,
       CASE WHEN s.state = 'verified' THEN d.opened_at + interval '66 hours' END,
       CASE WHEN s.is_done THEN 'Found on the spot' END,
       CASE WHEN s.is_done AND d.place %% 2 = 0 THEN 'Retrained the shift' END, s.state
FROM (
    SELECT x.*, ('x' || substr(md5(x.id::text), 1, 7))::bit(28)::integer AS place
    FROM (
        SELECT md5('answer log ' || t.temperature_log_id)::uuid AS id, t.temperature_log_id,
               NULL::uuid AS cooling_log_id, NULL::uuid AS checklist_run_id,
               NULL::uuid AS inspection_violation_id, NULL::uuid AS recall_lot_id,
               NULL::uuid AS food_safety_incident_id, 'ccp_deviation' AS kind,
               'Measured ' || coalesce(round(t.temperature_c, 1)::text, 'nothing')
               || ' °C out of limits' AS deviation, 'Moved or reheated, measured again' AS answer,
               CASE WHEN t.log_kind IN ('cook', 'reheat') THEN 'recooked' ELSE 'discarded' END
               AS disposition, t.recorded_at AS opened_at
        FROM rest.temperature_log AS t
        WHERE t.business_id = %(business_id)s AND NOT t.in_limits
        UNION ALL
        SELECT md5('answer cooling ' || c.cooling_log_id)::uuid, NULL, c.cooling_log_id, NULL,
               NULL, NULL, NULL, 'cooling_failure', 'Did not cool in time', 'Threw it away',
               'discarded', coalesce(c.stage2_at, c.stage1_at, c.started_at)
        FROM rest.cooling_log AS c
        WHERE c.business_id = %(business_id)s AND c.outcome LIKE 'failed%%'
        UNION ALL
        SELECT md5('answer run ' || r.checklist_run_id)::uuid, NULL, NULL, r.checklist_run_id,
               NULL, NULL, NULL, 'checklist_failure', coalesce(f.failed, 'Score ' || r.score_pct),
               'Put in order, checked again', 'none', r.completed_at
        FROM rest.checklist_run AS r
        LEFT JOIN (
            SELECT v.checklist_run_id,
                   string_agg(v.item_no || '. ' || v.question || ': '
                              || coalesce(v.answer, 'no answer'), '; ' ORDER BY v.item_no)
                   AS failed
            FROM rest.v_failed_critical_item AS v
            WHERE v.business_id = %(business_id)s
            GROUP BY v.checklist_run_id
        ) AS f ON f.checklist_run_id = r.checklist_run_id
        WHERE r.business_id = %(business_id)s
          AND (r.state = 'failed' OR f.checklist_run_id IS NOT NULL)
        UNION ALL
        SELECT md5('answer violation ' || v.inspection_violation_id)::uuid, NULL, NULL, NULL,
               v.inspection_violation_id, NULL, NULL, 'violation', v.description,
               'Corrected as the report asks', 'none',
               (h.inspected_on + time '18:00') AT TIME ZONE 'UTC'
        FROM rest.inspection_violation AS v
        JOIN rest.health_inspection AS h
            ON h.business_id = v.business_id AND h.health_inspection_id = v.health_inspection_id
        WHERE v.business_id = %(business_id)s
          AND (v.category <> 'core' OR v.corrected_on IS NOT NULL)
        UNION ALL
        SELECT md5('answer recall ' || l.recall_lot_id)::uuid, NULL, NULL, NULL, NULL,
               l.recall_lot_id, NULL, 'recall', 'Lot in recall ' || r.recall_number,
               'Held apart, told the regulator', 'held', l.matched_at
        FROM rest.recall_lot AS l
        JOIN rest.product_recall AS r
            ON r.business_id = l.business_id AND r.product_recall_id = l.product_recall_id
        WHERE l.business_id = %(business_id)s
        UNION ALL
        SELECT md5('answer incident ' || i.food_safety_incident_id)::uuid, NULL, NULL, NULL, NULL,
               NULL, i.food_safety_incident_id, 'incident', replace(i.incident_kind, '_', ' '),
               'Talked to the guest, checked the line', 'none', i.reported_at
        FROM rest.food_safety_incident AS i
        WHERE i.business_id = %(business_id)s
    ) AS x
    WHERE x.opened_at <= %(as_of)s
      AND NOT EXISTS (
          SELECT FROM rest.corrective_action AS a
          WHERE a.business_id = %(business_id)s
            AND coalesce(a.temperature_log_id, a.cooling_log_id)
                = coalesce(x.temperature_log_id, x.cooling_log_id))
) AS d
CROSS JOIN LATERAL (
    SELECT n.state, n.state IN ('completed', 'verified') AS is_done
    FROM (SELECT CASE WHEN d.opened_at < %(as_of)s::timestamptz - interval '4 days'
                      THEN CASE WHEN d.place %% 20 < 17 THEN 'verified'
                                WHEN d.place %% 20 < 19 THEN 'completed' ELSE 'overdue' END
                      WHEN d.place %% 2 = 0 THEN 'in_progress' ELSE 'open' END AS state) AS n
) AS s
CROSS JOIN (
    SELECT array_agg(x.staff_member_id ORDER BY x.employee_number) AS ids,
           count(*)::integer AS people
    FROM rest.staff_member AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
) AS m;
