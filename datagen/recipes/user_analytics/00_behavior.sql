-- Members of peer groups, what is usual, and the events that anomalies rest on follow from rows.
SELECT tenant_mgmt.set_tenant(%(business_id)s);

UPDATE user_analytics.peer_group AS g
SET member_count = m.members
FROM (SELECT v.peer_group_id, count(*) AS members
      FROM user_analytics.peer_group_members(%(as_of)s) AS v
      WHERE v.business_id = %(business_id)s
      GROUP BY v.peer_group_id) AS m
WHERE g.business_id = %(business_id)s AND g.peer_group_id = m.peer_group_id
    AND m.members >= g.min_members;

SELECT user_analytics.refresh_baselines(400, %(as_of)s);

-- A detector looks minutes after the event; one that nobody can be shown is none.
UPDATE user_analytics.behavior_anomaly AS a
SET evidence = jsonb_build_array(jsonb_build_object('table', 'behavior_event',
                                                    'id', e.behavior_event_id)),
    closed_at = e.occurred_at + interval '4 minutes' + (a.closed_at - a.detected_at),
    detected_at = e.occurred_at + interval '4 minutes'
FROM (SELECT DISTINCT ON (n.behavior_anomaly_id) n.behavior_anomaly_id, v.behavior_event_id,
             v.occurred_at
      FROM user_analytics.behavior_anomaly AS n
      JOIN user_analytics.behavior_event AS v
          ON v.business_id = n.business_id AND v.user_account_id = n.user_account_id
              AND v.occurred_at <= n.detected_at
      WHERE n.business_id = %(business_id)s
      ORDER BY n.behavior_anomaly_id, v.occurred_at DESC, v.behavior_event_id) AS e
WHERE a.business_id = %(business_id)s AND a.behavior_anomaly_id = e.behavior_anomaly_id;
