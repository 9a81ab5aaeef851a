-- A template rests on the consent of its own person.
INSERT INTO user_auth.biometric_enrollment
    (business_id, biometric_enrollment_id, user_account_id, auth_enrollment_id, user_consent_id,
     user_device_id, modality, template_ref, protection_scheme, quality_score, liveness_level,
     vendor, enrolled_at, retention_until)
SELECT e.business_id, md5(e.auth_enrollment_id || ' template')::uuid, e.user_account_id,
       e.auth_enrollment_id, c.user_consent_id,
       (SELECT d.user_device_id
        FROM user_auth.user_device AS d
        WHERE d.business_id = e.business_id AND d.user_account_id = e.user_account_id
        ORDER BY d.user_device_id LIMIT 1),
       CASE row_number() OVER (ORDER BY e.auth_enrollment_id) %% 4
            WHEN 0 THEN 'voice' WHEN 1 THEN 'face' WHEN 2 THEN 'fingerprint' ELSE 'palm' END,
       'vault:templates/' || e.auth_enrollment_id, 'cancelable', 88.5, 'active', 'Facewise',
       e.enrolled_at, ((e.enrolled_at AT TIME ZONE 'UTC') + interval '2 years')::date
FROM user_auth.auth_enrollment AS e
JOIN user_mgmt.user_consent AS c
    ON c.business_id = e.business_id AND c.user_account_id = e.user_account_id
        AND c.consent_kind = 'biometric_processing' AND c.is_granted AND c.withdrawn_at IS NULL
        AND c.given_at <= e.enrolled_at
WHERE e.business_id = %(business_id)s AND e.method = 'biometric'
    AND e.status IN ('active', 'suspended');
-- What was withdrawn or never agreed to has no template any more.
UPDATE user_auth.auth_enrollment AS e
SET status = 'expired'
WHERE e.business_id = %(business_id)s AND e.method = 'biometric'
    AND e.status IN ('active', 'suspended')
    AND NOT EXISTS (SELECT FROM user_auth.biometric_enrollment AS b
                    WHERE b.business_id = e.business_id
                        AND b.user_account_id = e.user_account_id
                        AND b.auth_enrollment_id = e.auth_enrollment_id);

-- Some 150 comparisons with each template: 95 of 100 match, few look like a mask.
INSERT INTO user_auth.biometric_verification
    (business_id, biometric_verification_id, biometric_enrollment_id, match_score, threshold,
     decision, liveness_score, capture_device, capture_quality, fallback_used, latency_ms,
     verified_at)
SELECT v.business_id, md5(v.biometric_enrollment_id || ' look ' || v.n)::uuid,
       v.biometric_enrollment_id,
       CASE v.decision WHEN 'match' THEN 0.86 + (v.n * 37 %% 130) / 1000.0
            WHEN 'inconclusive' THEN 0.80 ELSE 0.31 + (v.n * 37 %% 300) / 1000.0 END,
       0.82, v.decision,
       CASE v.decision WHEN 'spoof_suspected' THEN 0.12 ELSE 0.93 + (v.n %% 7) / 100.0 END,
       'front camera', 60 + v.n * 7 %% 40,
       CASE WHEN v.decision = 'match' THEN 'none' WHEN v.n %% 2 = 0 THEN 'pin'
            ELSE 'password' END,
       210 + v.n * 13 %% 400, v.verified_at
FROM (
    SELECT b.business_id, b.biometric_enrollment_id, s.n,
           CASE WHEN s.n %% 97 = 41 THEN 'spoof_suspected' WHEN s.n %% 40 = 13 THEN 'inconclusive'
                WHEN s.n %% 30 = 7 THEN 'no_match' ELSE 'match' END AS decision,
           b.enrolled_at + (coalesce(e.last_used_at, e.confirmed_at) - b.enrolled_at)
                           * (s.n / 150.0) AS verified_at
    FROM user_auth.biometric_enrollment AS b
    JOIN user_auth.auth_enrollment AS e
        ON e.business_id = b.business_id AND e.auth_enrollment_id = b.auth_enrollment_id
    CROSS JOIN generate_series(1, 150) AS s (n)
    WHERE b.business_id = %(business_id)s
) AS v;
