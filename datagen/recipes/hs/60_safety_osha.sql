-- What happened on a job happened while it ran, at its address.
UPDATE hs.safety_incident AS i
SET work_order_id = j.work_order_id, service_location_id = j.service_location_id
FROM hs.safety_incident AS x
LEFT JOIN hs.work_order AS j
    ON j.business_id = x.business_id AND j.work_order_id = x.work_order_id
   AND j.started_at BETWEEN x.occurred_at - interval '12 hours' AND x.occurred_at
WHERE i.business_id = %(business_id)s
  AND x.business_id = i.business_id AND x.safety_incident_id = i.safety_incident_id
  AND i.work_order_id IS NOT NULL;

-- Who was hurt worse than first aid is a case, numbered within its establishment and year.
INSERT INTO hs.osha_case
    (business_id, osha_case_id, osha_establishment_id, safety_incident_id, incident_person_id,
     case_number, recorded_on, employee_name, job_title, is_privacy_case, event_on,
     where_occurred, description, injury_type)
SELECT p.business_id, md5(p.incident_person_id || ' case')::uuid, i.osha_establishment_id,
       p.safety_incident_id, p.incident_person_id,
       lpad(row_number() OVER (
           PARTITION BY i.osha_establishment_id, extract(year FROM d.event_on)
           ORDER BY i.occurred_at, p.incident_person_id)::text, 3, '0'),
       d.event_on + 1 + d.hash % 6, coalesce(t.full_name, p.person_name), p.job_title,
       d.hash % 12 = 5, d.event_on, i.place_description,
       initcap(p.injury_nature) || ', ' || p.body_part,
       CASE WHEN i.incident_kind = 'injury' THEN 'injury'
            WHEN d.hash % 3 = 0 THEN 'respiratory_condition'
            WHEN d.hash % 3 = 1 THEN 'skin_disorder' ELSE 'all_other_illness' END
FROM hs.incident_person AS p
JOIN hs.safety_incident AS i
    ON i.business_id = p.business_id AND i.safety_incident_id = p.safety_incident_id
LEFT JOIN hs.technician AS t
    ON t.business_id = p.business_id AND t.technician_id = p.technician_id
CROSS JOIN LATERAL (
    SELECT (i.occurred_at AT TIME ZONE 'UTC')::date AS event_on,
           ('x' || right(md5(p.incident_person_id::text), 6))::bit(24)::integer AS hash
) AS d
WHERE p.business_id = %(business_id)s
  AND p.involvement = 'injured'
  AND i.severity IN ('medical_treatment', 'lost_time', 'hospitalization');

-- Form 301 within the week, one in ten later and with a reason.
INSERT INTO hs.osha_301_report
    (business_id, osha_301_report_id, osha_case_id, birth_on, hired_on, sex, physician_name,
     facility_name, facility_address, is_emergency_room, is_inpatient, work_started_time,
     event_time, activity_before_event, what_happened, injury_detail, harming_object,
     due_on, completed_by_name, completed_on, late_reason)
SELECT k.business_id, md5(k.osha_case_id || ' 301')::uuid, k.osha_case_id,
       make_date(1970 + d.hash % 30, 1 + d.hash % 12, 1 + d.hash % 28), t.hired_on,
       CASE WHEN d.hash % 9 = 0 THEN 'f' ELSE 'm' END, 'Dr. Grant', 'Lakeside Clinic',
       '200 Shore Drive', p.treatment = 'emergency_room', p.treatment = 'inpatient', '07:00',
       CASE WHEN NOT i.is_time_unknown THEN (i.occurred_at AT TIME ZONE 'UTC')::time END,
       'On a service call.', i.what_happened, k.description, 'Ladder', k.recorded_on,
       'Office manager', k.recorded_on + CASE WHEN d.hash % 10 = 3 THEN 9 ELSE 0 END,
       CASE WHEN d.hash % 10 = 3 THEN 'The physician''s report came late.' END
FROM hs.osha_case AS k
JOIN hs.incident_person AS p
    ON p.business_id = k.business_id AND p.incident_person_id = k.incident_person_id
JOIN hs.safety_incident AS i
    ON i.business_id = k.business_id AND i.safety_incident_id = k.safety_incident_id
LEFT JOIN hs.technician AS t
    ON t.business_id = p.business_id AND t.technician_id = p.technician_id
CROSS JOIN LATERAL (
    SELECT ('x' || right(md5(k.osha_case_id::text), 6))::bit(24)::integer AS hash
) AS d
WHERE k.business_id = %(business_id)s;

-- Days away, then light duty; one in forty is away for longer than is counted.
INSERT INTO hs.osha_restriction_period
    (business_id, osha_restriction_period_id, osha_case_id, period_kind, starts_on, ends_on,
     restriction_text, physician_release_on)
SELECT k.business_id, md5(k.osha_case_id || s.period_kind)::uuid, k.osha_case_id, s.period_kind,
       s.starts_on, s.starts_on + s.days - 1,
       CASE s.period_kind WHEN 'restricted' THEN 'No lifting above 20 lb, no ladders.' END,
       s.starts_on + s.days
FROM hs.osha_case AS k
JOIN hs.safety_incident AS i
    ON i.business_id = k.business_id AND i.safety_incident_id = k.safety_incident_id
CROSS JOIN LATERAL (
    SELECT CASE WHEN hash % 40 = 7 THEN 190 ELSE 2 + hash % 21 END AS away,
           4 + hash % 30 AS restricted, hash
    FROM (SELECT ('x' || right(md5(k.osha_case_id::text), 6))::bit(24)::integer) AS h (hash)
) AS d
CROSS JOIN LATERAL (VALUES
    ('days_away', k.event_on + 1, d.away, i.severity <> 'medical_treatment'),
    ('restricted', k.event_on + 1 + CASE WHEN i.severity <> 'medical_treatment'
                                         THEN d.away ELSE 0 END, d.restricted,
     i.severity <> 'medical_treatment' OR d.hash % 2 = 0)
) AS s (period_kind, starts_on, days, is_so)
WHERE k.business_id = %(business_id)s AND s.is_so;

-- Years of which all hours are known are summed, and certified and hung up once they are past.
INSERT INTO hs.osha_300a_summary
    (business_id, osha_300a_summary_id, osha_establishment_id, log_year, rate_base_hours,
     average_employee_count, total_hours_worked, death_count, days_away_case_count,
     restricted_case_count, other_case_count, days_away_total_days, restricted_total_days,
     injury_count, illness_breakdown, certified_by_name, certified_title, certified_on,
     posted_from_on, posted_until_on)
SELECT e.business_id, md5(e.osha_establishment_id || ' 300A ' || y.year)::uuid,
       e.osha_establishment_id, y.year, e.rate_base_hours, t.*,
       CASE WHEN y.is_past THEN 'Jordan Blake' END, CASE WHEN y.is_past THEN 'Owner' END,
       CASE WHEN y.is_past THEN make_date(y.year + 1, 1, 20) END,
       CASE WHEN y.is_past THEN make_date(y.year + 1, 2, 1) END,
       CASE WHEN y.is_past THEN make_date(y.year + 1, 4, 30) END
FROM hs.osha_establishment AS e
CROSS JOIN LATERAL (
    SELECT extract(year FROM w.month_on)::integer AS year,
           max(l.last_on) >= make_date(extract(year FROM w.month_on)::integer + 1, 2, 1) AS is_past
    FROM hs.osha_hours_worked AS w
    CROSS JOIN (SELECT max(x.month_on) AS last_on FROM hs.osha_hours_worked AS x
                WHERE x.business_id = %(business_id)s) AS l
    WHERE w.business_id = e.business_id AND w.osha_establishment_id = e.osha_establishment_id
    GROUP BY extract(year FROM w.month_on)
    HAVING count(*) = 12
) AS y
CROSS JOIN LATERAL hs.osha_year_totals(e.business_id, e.osha_establishment_id, y.year) AS t
WHERE e.business_id = %(business_id)s;

-- Filed by 2 March; one in three was first sent back.
INSERT INTO hs.ita_submission
    (business_id, ita_submission_id, osha_establishment_id, osha_300a_summary_id, filing_year,
     submission_kind, status, payload, payload_hash, due_on, sent_at, http_status, response_body,
     confirmation_ref)
SELECT s.business_id, md5(s.osha_300a_summary_id || f.status)::uuid, s.osha_establishment_id,
       s.osha_300a_summary_id, s.log_year, 'form_300a', f.status,
       hs.ita_payload(s.business_id, s.osha_300a_summary_id), '',
       make_date(s.log_year + 1, 3, 2),
       make_date(s.log_year + 1, 2, f.day)::timestamp AT TIME ZONE 'UTC' + interval '16 hours',
       f.http_status, f.response_body,
       CASE f.status WHEN 'accepted' THEN upper(right(s.osha_300a_summary_id::text, 8)) END
FROM hs.osha_300a_summary AS s
CROSS JOIN (VALUES
    ('rejected', 10, 422, '{"errors": [{"field": "naics.naics_code", "code": "invalid",
      "message": "is not a NAICS code of the year"}, {"field": "total_hours_worked",
      "code": "range", "message": "is low for the number of employees"}]}'::jsonb, 3),
    ('accepted', 12, 200, '{"errors": []}'::jsonb, 1)
) AS f (status, day, http_status, response_body, one_in)
WHERE s.business_id = %(business_id)s AND s.certified_on IS NOT NULL
  AND (f.one_in = 1 OR s.log_year % 2 = 0);
