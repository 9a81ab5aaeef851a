-- The catalog with its search box and filters: what is found, from which price, when it begins next.
-- budget: p95 150ms
-- weight: 6
-- mode: read
-- rows: >=1
-- params: words=title from courses.course where status = 'published'
SELECT c.business_id, c.course_id, c.slug, c.title, c.summary, c.level, c.delivery,
       a.name AS subject, a.path AS subject_path, c.average_rating, c.enrollment_count, c.is_free,
       p.price_from, p.currency_code, n.course_section_id, n.starts_on, n.seats_left, f.score
FROM (
    -- Courses that hold all the words.
    SELECT w.entity_id
    FROM system_core.search_word AS w
    WHERE w.business_id = %(business_id)s AND w.found_in = 'courses.course'
      AND w.word = ANY (system_core.words_of(%(words)s))
    GROUP BY w.entity_id
    HAVING count(*) = cardinality(system_core.words_of(%(words)s))
) AS w
JOIN courses.course AS c ON c.business_id = %(business_id)s AND c.course_id = w.entity_id
JOIN courses.subject_area AS a
    ON a.business_id = c.business_id AND a.subject_area_id = c.subject_area_id AND a.is_active
CROSS JOIN LATERAL (
    SELECT ts_rank(to_tsvector('simple', c.title || ' ' || coalesce(c.summary, '')),
                   plainto_tsquery('simple', %(words)s)) AS score
) AS f
LEFT JOIN LATERAL (
    SELECT min(o.amount) AS price_from, min(o.currency_code) AS currency_code
    FROM courses.price_offer AS o
    WHERE o.business_id = %(business_id)s AND o.course_id = c.course_id
      AND current_date BETWEEN o.valid_from AND coalesce(o.valid_until, 'infinity')
) AS p ON true
LEFT JOIN LATERAL (
    SELECT s.course_section_id, s.starts_on, s.seat_limit - s.enrolled_count AS seats_left
    FROM courses.course_section AS s
    WHERE s.business_id = %(business_id)s AND s.course_id = c.course_id
      AND s.status IN ('open', 'full', 'running')
    ORDER BY s.status = 'full', s.starts_on, s.section_code
    LIMIT 1
) AS n ON true
WHERE c.business_id = %(business_id)s AND c.status = 'published'
  AND c.level IN ('beginner', 'intermediate', 'advanced', 'expert')
  -- The page before ended here; this is the first.
  AND (f.score, c.course_id) < ('infinity'::real, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
ORDER BY f.score DESC, c.course_id DESC
LIMIT 20
