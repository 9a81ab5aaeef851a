-- A value is of the type of its field; a choice is one that the field offers.
UPDATE system_core.custom_field_definition AS d
SET options = CASE WHEN d.data_type IN ('select', 'multi_select')
                   THEN '[{"value": "gold", "label": "Gold", "color": "#d4af37"},
                          {"value": "silver", "label": "Silver", "color": "#c0c0c0"}]'::jsonb END,
    validation = CASE d.data_type WHEN 'number' THEN '{"min": 0, "max": 100000}'::jsonb
                                  WHEN 'text' THEN '{"max_length": 200}'::jsonb END,
    default_value = NULL
WHERE d.business_id = %(business_id)s;

UPDATE system_core.custom_field_value AS v
SET value = CASE d.data_type
    WHEN 'number' THEN to_jsonb(n.number)
    WHEN 'money' THEN to_jsonb(n.number / 100.0)
    WHEN 'boolean' THEN to_jsonb(n.number %% 2 = 0)
    WHEN 'date' THEN to_jsonb(date '2026-01-01' + n.number %% 365)
    WHEN 'select' THEN to_jsonb((ARRAY['gold', 'silver'])[1 + n.number %% 2])
    WHEN 'multi_select' THEN '["gold", "silver"]'::jsonb
    WHEN 'url' THEN to_jsonb('https://example.com/' || n.number)
    WHEN 'user' THEN to_jsonb((SELECT u.user_account_id FROM user_mgmt.user_account AS u
                               WHERE u.business_id = %(business_id)s
                               ORDER BY u.user_account_id LIMIT 1))
    WHEN 'json' THEN v.value
    ELSE to_jsonb('entry ' || n.number) END
FROM system_core.custom_field_definition AS d,
     (SELECT w.custom_field_value_id,
             (row_number() OVER (ORDER BY w.custom_field_value_id))::integer AS number
      FROM system_core.custom_field_value AS w
      WHERE w.business_id = %(business_id)s) AS n
WHERE v.business_id = %(business_id)s AND d.business_id = %(business_id)s
    AND d.custom_field_definition_id = v.custom_field_definition_id
    AND n.custom_field_value_id = v.custom_field_value_id;
