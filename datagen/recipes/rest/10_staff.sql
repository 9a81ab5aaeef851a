-- There is someone for each job: where nobody has it, one of those who share a job takes it.
UPDATE rest.staff_job AS j
SET job_role_id = v.job_role_id, hourly_rate = j.hourly_rate + v.rate - n.rate
FROM (
    SELECT x.staff_job_id, r.default_hourly_rate AS rate,
           row_number() OVER (ORDER BY x.turn DESC, x.staff_job_id) AS place
    FROM (
        SELECT y.staff_job_id, y.job_role_id,
               row_number() OVER (PARTITION BY y.job_role_id ORDER BY y.staff_job_id) AS turn
        FROM rest.staff_job AS y
        WHERE y.business_id = %(business_id)s AND y.effective_to IS NULL
    ) AS x
    JOIN rest.job_role AS r
        ON r.business_id = %(business_id)s AND r.job_role_id = x.job_role_id
    WHERE x.turn > 1
) AS n
JOIN (
    SELECT r.job_role_id, r.default_hourly_rate AS rate,
           row_number() OVER (ORDER BY r.job_code) AS place
    FROM rest.job_role AS r
    WHERE r.business_id = %(business_id)s
      AND NOT EXISTS (SELECT FROM rest.staff_job AS x
                      WHERE x.business_id = r.business_id AND x.job_role_id = r.job_role_id
                        AND x.effective_to IS NULL)
) AS v ON v.place = n.place
WHERE j.business_id = %(business_id)s AND j.staff_job_id = n.staff_job_id;

-- A shift that was worked was clocked in and out, a few minutes off.
INSERT INTO rest.time_entry
    (business_id, time_entry_id, staff_member_id, job_role_id, location_id, shift_id,
     business_date, clock_in_at, clock_out_at, regular_hours, hourly_rate, declared_cash_tips,
     auto_clocked_out, approval_state, approved_by_staff_id, approved_at)
SELECT s.business_id, md5('time entry of ' || s.shift_id)::uuid, s.staff_member_id,
       s.job_role_id, s.location_id, s.shift_id, s.business_date,
       s.starts_at + (n.place %% 13 - 6) * interval '1 minute',
       s.ends_at + (n.place %% 17 - 5) * interval '1 minute',
       round(extract(epoch FROM s.ends_at - s.starts_at) / 3600
             - s.unpaid_break_minutes / 60.0 + (n.place %% 7 - 3) / 20.0, 2),
       j.hourly_rate,
       CASE WHEN r.is_tipped THEN 8 + n.place %% 23 ELSE 0 END,
       n.place %% 67 = 3,
       CASE WHEN s.business_date < %(as_of)s::date - 2 THEN 'approved' ELSE 'pending' END,
       CASE WHEN s.business_date < %(as_of)s::date - 2 AND m.staff_member_id <> s.staff_member_id
            THEN m.staff_member_id END,
       CASE WHEN s.business_date < %(as_of)s::date - 2 AND m.staff_member_id <> s.staff_member_id
            THEN s.ends_at + interval '1 day' END
FROM rest.shift AS s
JOIN rest.job_role AS r ON r.business_id = s.business_id AND r.job_role_id = s.job_role_id
JOIN rest.staff_job AS j
    ON j.business_id = s.business_id AND j.staff_member_id = s.staff_member_id
JOIN (
    SELECT x.shift_id, row_number() OVER (ORDER BY x.shift_id) AS place
    FROM rest.shift AS x
    WHERE x.business_id = %(business_id)s
) AS n ON n.shift_id = s.shift_id
CROSS JOIN (
    SELECT x.staff_member_id
    FROM rest.staff_member AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
    ORDER BY x.employee_number
    LIMIT 1
) AS m
WHERE s.business_id = %(business_id)s AND s.state IN ('worked', 'swapped');

INSERT INTO rest.time_entry_break
    (business_id, time_entry_break_id, time_entry_id, break_kind, starts_at, ends_at,
     was_missed, premium_amount)
SELECT e.business_id, md5('break of ' || e.time_entry_id)::uuid, e.time_entry_id, 'meal',
       e.clock_in_at + interval '3 hours', e.clock_in_at + interval '3 hours 30 minutes',
       n.place %% 41 = 6, CASE WHEN n.place %% 41 = 6 THEN e.hourly_rate ELSE 0 END
FROM rest.time_entry AS e
JOIN (
    SELECT x.time_entry_id, row_number() OVER (ORDER BY x.time_entry_id) AS place
    FROM rest.time_entry AS x
    WHERE x.business_id = %(business_id)s AND x.shift_id IS NOT NULL
) AS n ON n.time_entry_id = e.time_entry_id
WHERE e.business_id = %(business_id)s;

-- Who works in the dining room has a job there, so the jobs of the rota are the jobs of the people.
UPDATE rest.shift AS s
SET job_role_id = j.job_role_id
FROM rest.staff_job AS j
WHERE s.business_id = %(business_id)s
  AND j.business_id = s.business_id AND j.staff_member_id = s.staff_member_id
  AND j.is_primary AND s.job_role_id <> j.job_role_id;

UPDATE rest.time_entry AS e
SET job_role_id = j.job_role_id
FROM rest.staff_job AS j
WHERE e.business_id = %(business_id)s
  AND j.business_id = e.business_id AND j.staff_member_id = e.staff_member_id
  AND j.is_primary AND e.job_role_id <> j.job_role_id;
