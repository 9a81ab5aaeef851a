/*
 * Quality: a second pair of eyes before the keys go back.
 *
 * A quality_check is made by somebody who did not do the work; a failed one sends the order back
 * to the floor. v_shop_board shows what stands in the shop; mv_repair_order_profit tells by week
 * what closed orders brought in.
 */

CREATE TABLE auto.quality_check (
    business_id              uuid                    NOT NULL,
    quality_check_id         uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    checked_by_technician_id uuid                    NOT NULL,
    post_scan_session_id     uuid,
    repair_order_id          uuid                    NOT NULL,
    repair_job_id            uuid,
    check_kind               text                    NOT NULL,
    checked_at               timestamptz             NOT NULL DEFAULT now(),
    attempt_no               integer                 NOT NULL DEFAULT 1,
    result                   text                    NOT NULL,
    wheel_torque_ftlb        system_core.quantity,
    retorque_due_distance    integer,
    road_test_distance_mi    system_core.quantity,
    checklist                system_core.json_object NOT NULL DEFAULT '{}',
    failure_text             text,
    waived_reason            text,
    reset_reminders_done     boolean                 NOT NULL DEFAULT false,
    created_at               timestamptz             NOT NULL DEFAULT now(),
    updated_at               timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, quality_check_id),
    FOREIGN KEY (business_id, checked_by_technician_id)
        REFERENCES auto.technician (business_id, technician_id),
    FOREIGN KEY (business_id, repair_order_id)
        REFERENCES auto.repair_order (business_id, repair_order_id),
    FOREIGN KEY (business_id, repair_job_id)
        REFERENCES auto.repair_job (business_id, repair_job_id),
    CONSTRAINT quality_check_kind_known
        CHECK (check_kind IN ('visual', 'road_test', 'wheel_torque', 'leak', 'post_repair_scan',
                              'fluid_level', 'final_clean')),
    CONSTRAINT quality_check_result_known CHECK (result IN ('pass', 'fail', 'waived')),
    CONSTRAINT quality_check_waived_is_told
        CHECK (result <> 'waived' OR coalesce(waived_reason, '') ~ '\S'),
    CONSTRAINT quality_check_failed_is_told
        CHECK (result <> 'fail' OR coalesce(failure_text, '') ~ '\S'),
    CONSTRAINT quality_check_torque_is_measured
        CHECK (check_kind <> 'wheel_torque' OR result <> 'pass'
               OR coalesce(wheel_torque_ftlb, 0) > 0),
    CONSTRAINT quality_check_attempt_positive CHECK (attempt_no >= 1),
    CONSTRAINT quality_check_distances_positive
        CHECK (retorque_due_distance > 0 AND road_test_distance_mi >= 0)
);

COMMENT ON TABLE auto.quality_check IS
    'Final check by someone other than the technician, road test and hand-over conditions.';

-- FK: what somebody checked.
CREATE INDEX quality_check_checked_by_technician_idx
    ON auto.quality_check (business_id, checked_by_technician_id);

-- FK: the scan after the repair.
CREATE INDEX quality_check_post_scan_session_idx
    ON auto.quality_check (business_id, post_scan_session_id)
    WHERE post_scan_session_id IS NOT NULL;

-- FK: the checks of an order in turn.
CREATE INDEX quality_check_repair_order_idx
    ON auto.quality_check (business_id, repair_order_id, attempt_no);

-- FK: the checks of a job.
CREATE INDEX quality_check_repair_job_idx
    ON auto.quality_check (business_id, repair_job_id)
    WHERE repair_job_id IS NOT NULL;

ALTER TABLE auto.quality_check ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.quality_check
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.quality_check TO app_user;
GRANT SELECT ON auto.quality_check TO app_readonly;

CREATE TRIGGER quality_check_touch
    BEFORE UPDATE ON auto.quality_check
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION auto.require_second_person() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    own text;
BEGIN
    SELECT j.name INTO own
    FROM auto.repair_job AS j
    WHERE j.business_id = NEW.business_id AND j.repair_order_id = NEW.repair_order_id
      AND (NEW.repair_job_id IS NULL OR j.repair_job_id = NEW.repair_job_id)
      AND j.status = 'done' AND j.lead_technician_id = NEW.checked_by_technician_id
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'nobody checks their own work: %', own
            USING ERRCODE = 'check_violation', HINT = 'Have another technician check it.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.require_second_person() IS
    'A check is made by somebody else than the one who led the job.';

CREATE TRIGGER quality_check_second_person
    BEFORE INSERT OR UPDATE OF checked_by_technician_id, repair_job_id ON auto.quality_check
    FOR EACH ROW EXECUTE FUNCTION auto.require_second_person();

CREATE FUNCTION auto.send_back_failed() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE auto.repair_order AS o
    SET status = 'in_progress'
    WHERE o.business_id = NEW.business_id AND o.repair_order_id = NEW.repair_order_id
      AND o.status = 'quality_check' AND row_security_active(TG_RELID);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.send_back_failed() IS 'A failed check sends the order back to the floor.';

CREATE TRIGGER quality_check_failed
    AFTER INSERT ON auto.quality_check
    FOR EACH ROW WHEN (NEW.result = 'fail')
    EXECUTE FUNCTION auto.send_back_failed();

CREATE FUNCTION auto.require_wheel_torque() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) AND EXISTS (
        SELECT FROM auto.repair_job AS j
        JOIN auto.canned_job AS c
            ON c.business_id = j.business_id AND c.canned_job_id = j.canned_job_id
           AND c.job_group IN ('brakes', 'tires')
        WHERE j.business_id = NEW.business_id AND j.repair_order_id = NEW.repair_order_id
          AND j.status = 'done'
    ) AND NOT EXISTS (
        SELECT FROM auto.quality_check AS q
        WHERE q.business_id = NEW.business_id AND q.repair_order_id = NEW.repair_order_id
          AND q.check_kind = 'wheel_torque' AND q.result = 'pass') THEN
        RAISE EXCEPTION 'wheels of order % were off, their torque was not checked', NEW.ro_number
            USING ERRCODE = 'check_violation', HINT = 'Record a wheel_torque check.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.require_wheel_torque() IS
    'After brake and tire work the torque of the wheels is recorded before the keys go back.';

CREATE TRIGGER repair_order_wheel_torque
    BEFORE UPDATE OF status ON auto.repair_order
    FOR EACH ROW WHEN (NEW.status = 'ready_for_pickup' AND OLD.status = 'quality_check')
    EXECUTE FUNCTION auto.require_wheel_torque();


CREATE FUNCTION auto.part_blockers(visit uuid) RETURNS bigint
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT count(*)
    FROM auto.repair_job AS j
    JOIN auto.part_line AS l
        ON l.business_id = j.business_id AND l.repair_job_id = j.repair_job_id
       AND l.status IN ('needed', 'ordered')
    WHERE j.business_id = tenant_mgmt.current_business_id() AND j.repair_order_id = visit
      AND j.status IN ('approved', 'in_progress', 'waiting');
END;
COMMENT ON FUNCTION auto.part_blockers(uuid) IS
    'How many parts an order''s approved work still waits for.';


CREATE VIEW auto.v_shop_board WITH (security_invoker = true) AS
SELECT o.business_id, o.shop_id, o.repair_order_id, o.ro_number, o.status, o.order_kind,
       o.promised_at, o.promised_at < now() AS is_late, o.key_tag, c.display_name AS customer_name,
       v.vehicle_id, a.full_name AS advisor_name, b.bay_code, o.grand_total, o.authorized_amount,
       floor(extract(epoch FROM now() - o.updated_at) / 60)::integer AS minutes_in_state,
       n.jobs, n.jobs_done, n.jobs_undecided, w.technicians, auto.part_blockers(o.repair_order_id)
           AS parts_waiting
FROM auto.repair_order AS o
JOIN auto.customer AS c ON c.business_id = o.business_id AND c.customer_id = o.customer_id
JOIN auto.vehicle AS v ON v.business_id = o.business_id AND v.vehicle_id = o.vehicle_id
LEFT JOIN auto.technician AS a
    ON a.business_id = o.business_id AND a.technician_id = o.advisor_technician_id
LEFT JOIN auto.bay AS b ON b.business_id = o.business_id AND b.bay_id = o.current_bay_id
LEFT JOIN LATERAL (
    SELECT count(*) AS jobs, count(*) FILTER (WHERE j.status = 'done') AS jobs_done,
           count(*) FILTER (WHERE j.status = 'proposed') AS jobs_undecided
    FROM auto.repair_job AS j
    WHERE j.business_id = o.business_id AND j.repair_order_id = o.repair_order_id
      AND j.status <> 'cancelled'
) AS n ON true
LEFT JOIN LATERAL (
    SELECT string_agg(DISTINCT t.full_name, ', ') AS technicians
    FROM auto.repair_job AS j
    JOIN auto.technician AS t
        ON t.business_id = j.business_id AND t.technician_id = j.lead_technician_id
    WHERE j.business_id = o.business_id AND j.repair_order_id = o.repair_order_id
      AND j.status IN ('approved', 'in_progress', 'waiting')
) AS w ON true
WHERE o.status NOT IN ('closed', 'cancelled');
COMMENT ON VIEW auto.v_shop_board IS
    'What is in the shop: state, promise, who works on it, and what it waits for.';
GRANT SELECT ON auto.v_shop_board TO app_user, app_readonly;


CREATE MATERIALIZED VIEW auto.mv_repair_order_profit AS
SELECT o.business_id, o.repair_order_id, o.shop_id,
       date_trunc('week', o.closed_at)::date AS week_on, o.grand_total AS sales,
       n.parts_cost + n.sublet_cost AS cost,
       o.grand_total - n.parts_cost - n.sublet_cost AS gross_profit,
       n.sold_hours, round(o.labor_total / nullif(n.sold_hours, 0), 2) AS effective_labor_rate,
       CASE WHEN o.comeback_of_repair_order_id IS NOT NULL
            THEN n.parts_cost + n.sublet_cost ELSE 0 END AS comeback_cost
FROM auto.repair_order AS o
CROSS JOIN LATERAL (
    SELECT coalesce(sum(l.hours), 0) AS sold_hours, coalesce(sum(p.cost), 0) AS parts_cost,
           coalesce(sum(s.cost), 0) AS sublet_cost
    FROM auto.repair_job AS j
    LEFT JOIN LATERAL (
        SELECT sum(x.sold_hours) AS hours FROM auto.labor_line AS x
        WHERE x.business_id = j.business_id AND x.repair_job_id = j.repair_job_id
          AND x.status <> 'void') AS l ON true
    LEFT JOIN LATERAL (
        SELECT sum(round(x.qty * x.unit_cost, 2)) AS cost FROM auto.part_line AS x
        WHERE x.business_id = j.business_id AND x.repair_job_id = j.repair_job_id
          AND x.status NOT IN ('returned', 'cancelled')) AS p ON true
    LEFT JOIN LATERAL (
        SELECT sum(x.cost_amount) AS cost FROM auto.sublet_line AS x
        WHERE x.business_id = j.business_id AND x.repair_job_id = j.repair_job_id
          AND x.status <> 'cancelled') AS s ON true
    WHERE j.business_id = o.business_id AND j.repair_order_id = o.repair_order_id
      AND j.status = 'done'
) AS n
WHERE o.status = 'closed'
WITH NO DATA;
COMMENT ON MATERIALIZED VIEW auto.mv_repair_order_profit IS
    'What each closed order brought in and cost, refreshed nightly; read through
     v_repair_order_profit.';

-- Unique, so that it is refreshed concurrently; also serves v_repair_order_profit.
CREATE UNIQUE INDEX mv_repair_order_profit_idx
    ON auto.mv_repair_order_profit (business_id, repair_order_id);

GRANT USAGE ON SCHEMA auto, tenant_mgmt TO matview_owner;
GRANT SELECT ON auto.repair_order, auto.repair_job, auto.labor_line, auto.part_line,
    auto.sublet_line TO matview_owner;

CREATE VIEW auto.v_repair_order_profit WITH (security_barrier = true) AS
SELECT *
FROM auto.mv_repair_order_profit AS p
WHERE p.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW auto.v_repair_order_profit IS 'The tenant''s part of mv_repair_order_profit.';
GRANT SELECT ON auto.v_repair_order_profit TO app_user, app_readonly;
