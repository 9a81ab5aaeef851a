-- The owner opens the log of a year with the sums of the summary under it.
-- budget: p95 100ms
-- weight: 1
-- mode: read
-- rows: >=1
-- params: osha_establishment_id, log_year from hs.osha_300a_summary
SELECT s.business_id, s.log_year, s.total_hours_worked, s.trir_rate, s.dart_rate, s.certified_on,
       line.lines
FROM hs.osha_300a_summary AS s
CROSS JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object(
               'case', l.case_number, 'name', l.employee_name, 'title', l.job_title,
               'date', l.event_on, 'where', l.where_occurred, 'what', l.description,
               'death', l.is_death, 'away', l.days_away_count,
               'restricted', l.days_restricted_count, 'type', l.injury_type)
               ORDER BY l.case_number) AS lines
    FROM hs.v_osha_300_log AS l
    WHERE l.business_id = %(business_id)s
      AND l.osha_establishment_id = s.osha_establishment_id AND l.log_year = s.log_year
) AS line
WHERE s.business_id = %(business_id)s
  AND s.osha_establishment_id = %(osha_establishment_id)s AND s.log_year = %(log_year)s
