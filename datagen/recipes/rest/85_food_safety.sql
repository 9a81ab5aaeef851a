SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

INSERT INTO rest.safety_checklist
    (business_id, safety_checklist_id, checklist_code, title, checklist_kind, version_no,
     frequency, due_time, items_doc, passing_score_pct, effective_from, is_active)
SELECT %(business_id)s, md5('checklist ' || c.code || %(business_id)s)::uuid, c.code, c.title,
       c.kind, 2, c.frequency, c.due, c.items::jsonb, c.passing, %(as_of)s::date - 200, true
FROM (VALUES
    ('OPEN', 'Opening', 'opening', 'daily', time '10:30', 80, '[
        {"item_no": 1, "text": "Walk-in air temperature", "answer_kind": "temp", "min": 0,
         "max": 5, "critical": true},
        {"item_no": 2, "text": "Hand sinks stocked", "answer_kind": "bool", "critical": true},
        {"item_no": 3, "text": "Sanitizer in ppm", "answer_kind": "number", "min": 200,
         "max": 400, "critical": false},
        {"item_no": 4, "text": "Date labels of yesterday cleared", "answer_kind": "bool",
         "critical": false},
        {"item_no": 5, "text": "Floor drains clean", "answer_kind": "bool", "critical": false}]'),
    ('LINE', 'Line check before dinner', 'line_check', 'each_shift', time '16:30', 75, '[
        {"item_no": 1, "text": "Cold rail", "answer_kind": "temp", "min": 0, "max": 5,
         "critical": true},
        {"item_no": 2, "text": "Hot well", "answer_kind": "temp", "min": 57, "max": 90,
         "critical": true},
        {"item_no": 3, "text": "Sauces tasted and labelled", "answer_kind": "bool",
         "critical": false},
        {"item_no": 4, "text": "Raw below cooked", "answer_kind": "photo", "critical": true}]'),
    ('CLOSE', 'Closing', 'closing', 'daily', time '22:30', 80, '[
        {"item_no": 1, "text": "Food covered, labelled, put away", "answer_kind": "bool",
         "critical": true},
        {"item_no": 2, "text": "Freezer", "answer_kind": "temp", "min": -30, "max": -15,
         "critical": true},
        {"item_no": 3, "text": "Fryers off", "answer_kind": "bool", "critical": false},
        {"item_no": 4, "text": "Surfaces sanitized", "answer_kind": "bool", "critical": false},
        {"item_no": 5, "text": "Trash out", "answer_kind": "bool", "critical": false}]'),
    ('CLEAN', 'Deep cleaning', 'cleaning', 'weekly', time '09:00', 75, '[
        {"item_no": 1, "text": "Hood filters", "answer_kind": "photo", "critical": false},
        {"item_no": 2, "text": "Ice machine", "answer_kind": "bool", "critical": true},
        {"item_no": 3, "text": "Behind the line", "answer_kind": "photo", "critical": false},
        {"item_no": 4, "text": "Walk-in shelves", "answer_kind": "bool", "critical": false}]'),
    ('SELF', 'Self-inspection', 'self_inspection', 'monthly', time '14:00', 80, '[
        {"item_no": 1, "text": "Certified manager on duty", "answer_kind": "bool",
         "critical": true},
        {"item_no": 2, "text": "Dish machine final rinse", "answer_kind": "temp", "min": 82,
         "max": 90, "critical": true},
        {"item_no": 3, "text": "No sign of pests", "answer_kind": "bool", "critical": true},
        {"item_no": 4, "text": "Thermometers calibrated", "answer_kind": "bool",
         "critical": false},
        {"item_no": 5, "text": "Test strips in date", "answer_kind": "bool",
         "critical": false}]')
) AS c (code, title, kind, frequency, due, passing, items);

-- Each list of a day at its time; one in thirty is missed, the rest is scored by its answers.
INSERT INTO rest.checklist_run
    (business_id, checklist_run_id, safety_checklist_id, location_id, business_date, due_at,
     started_at, completed_at, state, answers_doc, signature_name, performed_by_staff_id,
     reviewed_by_staff_id)
SELECT r.business_id, r.id, r.safety_checklist_id, r.location_id, r.business_date, r.due_at,
       CASE WHEN r.state = 'completed' THEN r.ended_at - interval '12 minutes' END,
       CASE WHEN r.state = 'completed' THEN r.ended_at END, r.state,
       CASE WHEN r.state = 'completed' THEN a.answers ELSE '[]' END,
       CASE WHEN r.state = 'completed' THEN p.display_name END,
       CASE WHEN r.state <> 'pending' THEN p.staff_member_id END,
       CASE WHEN r.state = 'completed' AND r.place %% 5 <> 0
            THEN nullif(m.ids[1 + (r.place + 1) %% m.people], p.staff_member_id) END
FROM (
    SELECT x.*, CASE WHEN x.due_at > %(as_of)s::timestamptz - interval '1 hour' THEN 'pending'
                     WHEN x.place %% 30 = 7 THEN 'missed' ELSE 'completed' END AS state,
           x.due_at + (x.place %% 45 - 25) * interval '1 minute' AS ended_at
    FROM (
        SELECT l.business_id, l.safety_checklist_id, l.items_doc, d.location_id, d.business_date,
               (d.business_date + l.due_time) AT TIME ZONE s.timezone AS due_at,
               md5('run ' || l.safety_checklist_id || d.business_day_id)::uuid AS id,
               ('x' || substr(md5(l.safety_checklist_id || 'run' || d.business_day_id), 1, 7)
               )::bit(28)::integer AS place
        FROM rest.safety_checklist AS l
        JOIN rest.business_day AS d ON d.business_id = l.business_id
        JOIN rest.location AS s
            ON s.business_id = d.business_id AND s.location_id = d.location_id
        WHERE l.business_id = %(business_id)s
          AND CASE l.frequency WHEN 'weekly' THEN extract(isodow FROM d.business_date) = 1
                               WHEN 'monthly' THEN extract(day FROM d.business_date) = 15
                               ELSE true END
    ) AS x
) AS r
CROSS JOIN LATERAL (
    SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
               'item_no', i.item_no,
               'value', CASE i.answer_kind
                            WHEN 'bool' THEN to_jsonb(NOT v.fails)
                            WHEN 'photo' THEN NULL
                            ELSE to_jsonb(CASE WHEN v.fails THEN i.most + 2.5
                                               ELSE round(i.least + (i.most - i.least)
                                                          * (20 + v.place %% 60) / 100, 1)
                                          END) END,
               'photo_id', CASE WHEN i.answer_kind = 'photo' AND NOT v.fails
                                THEN substr(md5(r.id || 'photo'), 1, 12) END,
               'note', CASE WHEN v.fails THEN 'Told the manager' END)) ORDER BY i.item_no)
           AS answers
    FROM JSON_TABLE(r.items_doc::jsonb, '$[*]' COLUMNS (
        item_no     integer PATH '$.item_no',
        answer_kind text PATH '$.answer_kind',
        least       numeric PATH '$.min',
        most        numeric PATH '$.max'
    )) AS i
    CROSS JOIN LATERAL (
        SELECT n.place, n.place %% 100 < 3 AS fails
        FROM (SELECT ('x' || substr(md5(r.id || 'item ' || i.item_no), 1, 7)
                     )::bit(28)::integer AS place) AS n
    ) AS v
) AS a
CROSS JOIN (
    SELECT array_agg(x.staff_member_id ORDER BY x.employee_number) AS ids,
           count(*)::integer AS people
    FROM rest.staff_member AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
) AS m
JOIN rest.staff_member AS p
    ON p.business_id = %(business_id)s AND p.staff_member_id = m.ids[1 + r.place %% m.people];

-- Labels of what is prepared, opened, thawed or held.
INSERT INTO rest.food_label
    (business_id, food_label_id, printed_by_staff_id, location_id, inventory_item_id, label_code,
     label_kind, prepared_at, use_by_at, quantity, printed_at, state, discarded_at)
SELECT f.business_id, f.id, m.ids[1 + f.place %% m.people], f.location_id, f.inventory_item_id,
       'FL-' || upper(right(f.id::text, 12)), f.kind, f.prepared_at, f.use_by_at,
       1 + f.place %% 8, f.prepared_at + interval '1 minute', f.state,
       CASE WHEN f.state = 'discarded'
            THEN least(f.use_by_at + (f.place %% 50) * interval '1 minute', %(as_of)s) END
FROM (
    SELECT k.*,
           CASE WHEN k.use_by_at < %(as_of)s
                THEN CASE WHEN k.place %% 100 < 84 THEN 'used'
                          WHEN k.place %% 100 < 96 THEN 'discarded' ELSE 'expired' END
                WHEN k.prepared_at < %(as_of)s::timestamptz - interval '1 day'
                     AND k.place %% 3 = 0 THEN 'used' ELSE 'active' END AS state
    FROM (
        SELECT n.*, n.prepared_at + CASE n.kind WHEN 'prep' THEN interval '72 hours'
                                                WHEN 'opened' THEN interval '120 hours'
                                                WHEN 'thawed' THEN interval '48 hours'
                                                WHEN 'time_hold_hot' THEN interval '4 hours'
                                                ELSE interval '6 hours' END AS use_by_at
        FROM (
            SELECT h.*, CASE WHEN h.place %% 100 < 60 THEN 'prep'
                             WHEN h.place %% 100 < 80 THEN 'opened'
                             WHEN h.place %% 100 < 90 THEN 'thawed'
                             WHEN h.place %% 100 < 96 THEN 'time_hold_hot'
                             ELSE 'time_hold_cold' END AS kind,
                   (h.business_date + time '10:00') AT TIME ZONE h.timezone
                   + (h.place %% 600) * interval '1 minute' AS prepared_at
            FROM (
                SELECT d.business_id, d.location_id, d.business_date, s.timezone,
                       i.inventory_item_id,
                       md5('label ' || d.business_day_id || i.inventory_item_id)::uuid AS id,
                       ('x' || substr(md5(d.business_day_id || 'label' || i.inventory_item_id),
                                      1, 7))::bit(28)::integer AS place
                FROM rest.business_day AS d
                JOIN rest.location AS s
                    ON s.business_id = d.business_id AND s.location_id = d.location_id
                JOIN (
                    SELECT x.business_id, x.inventory_item_id,
                           row_number() OVER (ORDER BY NOT x.is_tcs, x.item_code) AS place
                    FROM rest.inventory_item AS x
                    WHERE x.business_id = %(business_id)s
                      AND x.item_kind IN ('ingredient', 'prep')
                ) AS i ON i.business_id = d.business_id AND i.place <= 50
                WHERE d.business_id = %(business_id)s
            ) AS h
            WHERE h.place %% 10 < 6
        ) AS n
        WHERE n.prepared_at < %(as_of)s::timestamptz - interval '5 minutes'
    ) AS k
) AS f
CROSS JOIN (
    SELECT array_agg(x.staff_member_id ORDER BY x.employee_number) AS ids,
           count(*)::integer AS people
    FROM rest.staff_member AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
) AS m;

-- A few guests complain, a day or so after their meal, and the kitchen finds something itself.
INSERT INTO rest.food_safety_incident
    (business_id, food_safety_incident_id, reported_by_staff_id, location_id, guest_order_id,
     guest_profile_id, menu_item_id, incident_number, incident_kind, severity, occurred_at,
     reported_at, people_affected, symptoms, regulator_notified_at, root_cause, state, closed_at)
SELECT o.business_id, md5('incident ' || o.guest_order_id)::uuid, m.staff_member_id, o.location_id,
       CASE WHEN k.kind IN ('pest', 'temperature_abuse') THEN NULL ELSE o.guest_order_id END,
       CASE WHEN k.kind IN ('pest', 'temperature_abuse') THEN NULL ELSE o.guest_profile_id END,
       CASE WHEN k.kind IN ('pest', 'temperature_abuse') THEN NULL ELSE i.menu_item_id END,
       'FSI-' || lpad(o.place::text, 4, '0'), k.kind, k.severity, k.happened,
       k.happened + interval '5 hours', k.people, k.symptoms,
       CASE WHEN k.severity = 'serious' THEN k.happened + interval '20 hours' END,
       CASE WHEN k.happened < %(as_of)s::timestamptz - interval '6 days'
            THEN 'Found and mended: see the corrective action' END,
       CASE WHEN k.happened < %(as_of)s::timestamptz - interval '6 days' THEN 'closed'
            WHEN o.place %% 2 = 0 THEN 'investigating' ELSE 'open' END,
       CASE WHEN k.happened < %(as_of)s::timestamptz - interval '6 days'
            THEN k.happened + interval '5 days' END
FROM (
    SELECT x.*, row_number() OVER (ORDER BY md5(x.guest_order_id || 'ill'), x.guest_order_id)
           AS place, count(*) OVER () AS orders
    FROM rest.guest_order AS x
    WHERE x.business_id = %(business_id)s AND x.state = 'completed'
      AND x.completed_at < %(as_of)s::timestamptz - interval '2 days'
) AS o
LEFT JOIN (
    SELECT c.guest_order_id, (array_agg(x.menu_item_id ORDER BY x.line_number, x.check_item_id))[1]
           AS menu_item_id
    FROM rest.guest_check AS c
    JOIN rest.check_item AS x
        ON x.business_id = c.business_id AND x.guest_check_id = c.guest_check_id
       AND x.state <> 'voided'
    WHERE c.business_id = %(business_id)s
    GROUP BY c.guest_order_id
) AS i ON i.guest_order_id = o.guest_order_id
CROSS JOIN LATERAL (
    SELECT n.*, o.completed_at + n.later AS happened
    FROM (VALUES
        (1, 'illness_complaint', 'moderate', 2, 'Nausea and vomiting', interval '14 hours'),
        (2, 'foreign_object', 'minor', 0, NULL, interval '1 minute'),
        (3, 'allergic_reaction', 'serious', 1, 'Hives, swollen lips', interval '20 minutes'),
        (4, 'temperature_abuse', 'moderate', 0, NULL, interval '3 hours'),
        (5, 'illness_complaint', 'minor', 1, 'Stomach cramps', interval '19 hours'),
        (0, 'pest', 'moderate', 0, NULL, interval '11 hours')
    ) AS n (turn, kind, severity, people, symptoms, later)
    WHERE n.turn = o.place %% 6
) AS k
CROSS JOIN (
    SELECT x.staff_member_id
    FROM rest.staff_member AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
    ORDER BY x.employee_number
    LIMIT 1
) AS m
WHERE o.place <= greatest(3, o.orders / 450);

-- The health department comes about every six months.
INSERT INTO rest.health_inspection
    (business_id, health_inspection_id, location_id, inspection_number, agency, inspection_kind,
     inspected_on, inspector_name, score, grade, result)
SELECT l.business_id, md5('inspection ' || n.visit || l.location_id)::uuid, l.location_id,
       'HI-' || n.visit || '-' || upper(right(l.location_id::text, 8)), 'County Health Department',
       'routine', v.inspected_on,
       CASE WHEN n.visit = 1 THEN 'Dana Whitfield' ELSE 'Luis Ortega' END, 100, 'A', 'pass'
FROM rest.location AS l
CROSS JOIN (VALUES (1), (2)) AS n (visit)
CROSS JOIN LATERAL (
    SELECT %(as_of)s::date - 21 - (2 - n.visit) * 183
           - ('x' || substr(md5(l.location_id || 'visit ' || n.visit), 1, 7))::bit(28)::integer
             %% 25 AS inspected_on
) AS v
WHERE l.business_id = %(business_id)s;

INSERT INTO rest.inspection_violation
    (business_id, inspection_violation_id, health_inspection_id, code_reference, category,
     description, points_deducted, corrected_on_site, due_on, corrected_on)
SELECT h.business_id, md5('violation ' || c.code || h.health_inspection_id)::uuid,
       h.health_inspection_id, c.code, c.category, c.description, c.points, c.on_site,
       CASE WHEN NOT c.on_site THEN h.inspected_on + 10 END,
       CASE WHEN c.on_site THEN h.inspected_on
            WHEN h.inspected_on + 7 <= %(as_of)s::date AND p.place %% 7 <> 3
            THEN h.inspected_on + 7 END
FROM rest.health_inspection AS h
CROSS JOIN (VALUES
    ('3-501.16', 'priority', 'Cold food above the limit on the line', 4, true),
    ('2-301.14', 'priority', 'Hands not washed after handling raw chicken', 4, true),
    ('3-501.17', 'priority_foundation', 'Prepared food without a date', 3, true),
    ('5-205.11', 'priority_foundation', 'Hand sink blocked by a rack', 2, true),
    ('4-601.11', 'core', 'Grease behind the fryers', 1, false),
    ('6-501.12', 'core', 'Floor under the dish machine soiled', 1, false),
    ('4-501.11', 'core', 'Torn gasket of a reach-in', 1, false)
) AS c (code, category, description, points, on_site)
CROSS JOIN LATERAL (
    SELECT ('x' || substr(md5(h.health_inspection_id || c.code), 1, 7))::bit(28)::integer AS place
) AS p
WHERE h.business_id = %(business_id)s AND (p.place %% 100 < 55 OR c.code = '4-601.11')
ORDER BY h.inspected_on, h.health_inspection_id, c.code;

-- What was found takes its points off.
UPDATE rest.health_inspection AS h
SET score = 100 - n.points, grade = CASE WHEN n.points <= 10 THEN 'A' ELSE 'B' END,
    result = CASE WHEN n.points > 10 THEN 'conditional' ELSE 'pass' END,
    follow_up_due_on = CASE WHEN n.points > 10 THEN h.inspected_on + 14 END
FROM (
    SELECT v.health_inspection_id, sum(v.points_deducted) AS points
    FROM rest.inspection_violation AS v
    WHERE v.business_id = %(business_id)s
    GROUP BY v.health_inspection_id
) AS n
WHERE h.business_id = %(business_id)s AND h.health_inspection_id = n.health_inspection_id;
