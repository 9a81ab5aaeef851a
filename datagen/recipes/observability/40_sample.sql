-- The first pass is the origin; what was counted is that of the last.
UPDATE observability.snapshot_run AS r
SET is_origin = true
WHERE r.business_id = %(business_id)s
    AND r.started_at = (SELECT min(x.started_at) FROM observability.snapshot_run AS x
                        WHERE x.business_id = %(business_id)s);
UPDATE observability.counter_state AS c
SET snapshot_run_id = (SELECT r.snapshot_run_id FROM observability.snapshot_run AS r
                       WHERE r.business_id = %(business_id)s
                       ORDER BY r.started_at DESC LIMIT 1)
WHERE c.business_id = %(business_id)s;

-- An index that was built concurrently and failed.
INSERT INTO observability.index_stat_sample
    (business_id, index_stat_sample_id, snapshot_run_id, schema_name, table_name, index_name,
     index_bytes, is_valid, sampled_at)
SELECT r.business_id, md5(r.snapshot_run_id || 'invalid')::uuid, r.snapshot_run_id, 'billing',
       'screen_2', 'screen_2_broken_idx', 16384, false, r.started_at
FROM observability.snapshot_run AS r
WHERE r.business_id = %(business_id)s
ORDER BY r.started_at DESC
LIMIT 1;
