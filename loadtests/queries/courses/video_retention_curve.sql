-- The author of a film sees where viewers leave: how many watched each twentieth of it.
-- budget: p95 300ms
-- weight: 1
-- mode: read
-- rows: >=1
-- params: content_item_id from courses.video_progress
SELECT %(business_id)s::uuid AS business_id, n.part,
       count(DISTINCT v.video_progress_id) AS viewers,
       round(100.0 * count(DISTINCT v.video_progress_id)
             / max(count(DISTINCT v.video_progress_id)) OVER (), 1) AS of_most_pct
FROM courses.video_progress AS v
CROSS JOIN LATERAL JSON_TABLE(v.watched_ranges, '$[*]' COLUMNS (
    starts numeric PATH '$[0]',
    ends   numeric PATH '$[1]'
)) AS r
JOIN generate_series(1, 20) AS n (part)
    ON r.starts < n.part * v.duration_seconds / 20.0
   AND r.ends > (n.part - 1) * v.duration_seconds / 20.0
WHERE v.business_id = %(business_id)s AND v.content_item_id = %(content_item_id)s
GROUP BY n.part
ORDER BY n.part
