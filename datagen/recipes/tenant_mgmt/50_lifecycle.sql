-- A score knows the one before it and that of a week ago.
UPDATE tenant_mgmt.health_score AS h
SET previous_score = n.before, delta_7d = h.score - n.week_ago
FROM (SELECT x.health_score_id, lag(x.score) OVER day AS before, lag(x.score, 7) OVER day AS week_ago
      FROM tenant_mgmt.health_score AS x
      WHERE x.business_id = %(business_id)s
      WINDOW day AS (PARTITION BY x.health_model_id ORDER BY x.score_date)) AS n
WHERE h.business_id = %(business_id)s AND h.health_score_id = n.health_score_id;
