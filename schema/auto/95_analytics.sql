/*
 * The day close. One row a shop and day (cars, hours, sales, margin, collections) and one a
 * technician and day (flagged against clocked hours). auto.close_shop_day() writes both from
 * invoices, payments, clock entries and flagged labor lines, as often as it is called;
 * auto.unproven_shop_days() names the days whose summary their invoices no longer bear out.
 */

CREATE TABLE auto.shop_day_summary (
    business_id                 uuid                   NOT NULL,
    shop_day_summary_id         uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    closed_by_user_id           uuid,
    shop_id                     uuid                   NOT NULL,
    summary_on                  date                   NOT NULL,
    car_count                   integer                NOT NULL DEFAULT 0,
    average_order_amount        system_core.money      GENERATED ALWAYS AS (
                                                           round((labor_sales_amount +
                                                           parts_sales_amount +
                                                           tire_sales_amount +
                                                           sublet_sales_amount) /
                                                           nullif(car_count, 0), 2)) STORED,
    billed_hours                numeric(10, 2)         NOT NULL DEFAULT 0,
    clocked_hours               numeric(10, 2)         NOT NULL DEFAULT 0,
    available_hours             numeric(10, 2)         NOT NULL DEFAULT 0,
    labor_sales_amount          system_core.money      NOT NULL DEFAULT 0,
    parts_sales_amount          system_core.money      NOT NULL DEFAULT 0,
    tire_sales_amount           system_core.money      NOT NULL DEFAULT 0,
    sublet_sales_amount         system_core.money      NOT NULL DEFAULT 0,
    gross_profit_amount         system_core.money      NOT NULL DEFAULT 0,
    effective_labor_rate_amount system_core.money      NOT NULL DEFAULT 0,
    collected_amount            system_core.money      NOT NULL DEFAULT 0,
    approved_pct                system_core.percentage,
    bay_use_pct                 system_core.percentage,
    comeback_count              integer                NOT NULL DEFAULT 0,
    created_at                  timestamptz            NOT NULL DEFAULT now(),
    updated_at                  timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, shop_day_summary_id),
    UNIQUE (business_id, shop_id, summary_on),
    FOREIGN KEY (business_id, closed_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, shop_id) REFERENCES auto.shop (business_id, shop_id),
    CONSTRAINT shop_day_summary_counts_not_negative
        CHECK (car_count >= 0 AND comeback_count >= 0),
    CONSTRAINT shop_day_summary_approved_pct_bounded CHECK (approved_pct BETWEEN 0 AND 100),
    CONSTRAINT shop_day_summary_bay_use_pct_bounded CHECK (bay_use_pct BETWEEN 0 AND 100)
);

COMMENT ON TABLE auto.shop_day_summary IS
    'Day close of a shop: car count, hours, sales, margin, effective labor rate and collections.';
COMMENT ON COLUMN auto.shop_day_summary.gross_profit_amount IS
    'Labor, parts, tires and sublet, less discounts, what parts and sublet cost and what the
     clocked hours cost at the technicians'' rates.';
COMMENT ON COLUMN auto.shop_day_summary.approved_pct IS
    'Share of the jobs decided on the day that were approved.';
COMMENT ON COLUMN auto.shop_day_summary.bay_use_pct IS
    'Hours clocked on jobs of the hours that the bays in use can take a day.';

-- FK: the shop day summaries by their closed by user.
CREATE INDEX shop_day_summary_closed_by_user_idx
    ON auto.shop_day_summary (business_id, closed_by_user_id)
    WHERE closed_by_user_id IS NOT NULL;

ALTER TABLE auto.shop_day_summary ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.shop_day_summary
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.shop_day_summary TO app_user;
GRANT SELECT ON auto.shop_day_summary TO app_readonly;

CREATE TRIGGER shop_day_summary_touch
    BEFORE UPDATE ON auto.shop_day_summary
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE auto.technician_day_summary (
    business_id                uuid                   NOT NULL,
    technician_day_summary_id  uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    technician_id              uuid                   NOT NULL,
    shop_id                    uuid                   NOT NULL,
    summary_on                 date                   NOT NULL,
    attended_hours             numeric(10, 2)         NOT NULL DEFAULT 0,
    clocked_hours              numeric(10, 2)         NOT NULL DEFAULT 0,
    flagged_hours              numeric(10, 2)         NOT NULL DEFAULT 0,
    productivity_pct           system_core.percentage,
    efficiency_pct             system_core.percentage GENERATED ALWAYS AS (
                                                          100 * flagged_hours /
                                                          nullif(clocked_hours, 0)) STORED,
    proficiency_pct            system_core.percentage,
    job_count                  integer                NOT NULL DEFAULT 0,
    inspection_count           integer                NOT NULL DEFAULT 0,
    recommendation_count       integer                NOT NULL DEFAULT 0,
    approved_amount            system_core.money      NOT NULL DEFAULT 0,
    comeback_count             integer                NOT NULL DEFAULT 0,
    idle_minutes               integer,
    average_wait_parts_minutes integer,
    created_at                 timestamptz            NOT NULL DEFAULT now(),
    updated_at                 timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, technician_day_summary_id),
    UNIQUE (business_id, technician_id, summary_on),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES auto.technician (business_id, technician_id),
    FOREIGN KEY (business_id, shop_id) REFERENCES auto.shop (business_id, shop_id),
    CONSTRAINT technician_day_summary_attended_hours_bounded
        CHECK (attended_hours BETWEEN 0 AND 24),
    CONSTRAINT technician_day_summary_counts_not_negative
        CHECK (clocked_hours >= 0 AND flagged_hours >= 0 AND job_count >= 0
               AND inspection_count >= 0 AND recommendation_count >= 0 AND comeback_count >= 0
               AND idle_minutes >= 0 AND average_wait_parts_minutes >= 0)
);

COMMENT ON TABLE auto.technician_day_summary IS
    'Day of a technician: flagged against clocked hours, efficiency, comebacks and inspections.';
COMMENT ON COLUMN auto.technician_day_summary.productivity_pct IS
    'Clocked on jobs of what was attended: how much of the day found work.';
COMMENT ON COLUMN auto.technician_day_summary.proficiency_pct IS
    'Flagged of what was attended: what the day earned, work found and speed together.';

-- FK: the technician day summaries of a shop.
CREATE INDEX technician_day_summary_shop_idx
    ON auto.technician_day_summary (business_id, shop_id, summary_on);

ALTER TABLE auto.technician_day_summary ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.technician_day_summary
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.technician_day_summary TO app_user;
GRANT SELECT ON auto.technician_day_summary TO app_readonly;

CREATE TRIGGER technician_day_summary_touch
    BEFORE UPDATE ON auto.technician_day_summary
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE FUNCTION auto.day_of_shop(p_shop_id uuid, p_on date) RETURNS tstzrange
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    zone text;
BEGIN
    SELECT s.timezone INTO zone
    FROM auto.shop AS s
    WHERE s.business_id = tenant_mgmt.current_business_id() AND s.shop_id = p_shop_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'shop % is not known', p_shop_id
            USING ERRCODE = 'foreign_key_violation', HINT = 'Name a shop of this business.';
    END IF;
    RETURN tstzrange(p_on::timestamp AT TIME ZONE zone, (p_on + 1)::timestamp AT TIME ZONE zone);
END
$$;
COMMENT ON FUNCTION auto.day_of_shop(uuid, date) IS
    'From midnight to midnight in the time zone of a shop.';

CREATE FUNCTION auto.hours_of_technicians(p_shop_id uuid, p_on date)
    RETURNS TABLE (technician_id uuid, attended numeric, clocked numeric, flagged numeric,
                   jobs integer, waited_minutes integer)
    LANGUAGE sql STABLE AS $$
    WITH of_day AS (
        SELECT tenant_mgmt.current_business_id() AS tenant, auto.day_of_shop(p_shop_id, p_on) AS day
    ), clock AS (
        SELECT c.technician_id,
               sum(c.actual_hours)
                   FILTER (WHERE c.clock_kind IN ('job', 'diagnosis', 'rework')) AS hours,
               count(DISTINCT c.repair_job_id)::integer AS jobs,
               round(avg(c.actual_hours * 60) FILTER (WHERE c.clock_kind = 'waiting'))::integer
                   AS waited
        FROM of_day AS d
        JOIN auto.labor_clock_entry AS c
            ON c.business_id = d.tenant AND c.clocked_in_at >= lower(d.day)
           AND c.clocked_in_at < upper(d.day)
        GROUP BY c.technician_id
    ), flag AS (
        SELECT l.technician_id, sum(l.sold_hours) AS hours
        FROM of_day AS d
        JOIN auto.labor_line AS l ON l.business_id = d.tenant
        WHERE l.flagged_on = p_on AND l.status = 'done'
        GROUP BY l.technician_id
    ), attendance AS (
        SELECT s.technician_id,
               sum(extract(epoch FROM coalesce(s.attendance_out_at, s.ends_at)
                                      - s.attendance_in_at)) / 3600 AS hours
        FROM of_day AS d
        JOIN auto.technician_shift AS s ON s.business_id = d.tenant
        WHERE s.shift_on = p_on AND s.attendance_in_at IS NOT NULL
        GROUP BY s.technician_id
    )
    SELECT t.technician_id, round(least(coalesce(a.hours, 0), 24), 2), coalesce(c.hours, 0),
           coalesce(f.hours, 0), coalesce(c.jobs, 0), c.waited
    FROM of_day AS d
    JOIN auto.technician AS t ON t.business_id = d.tenant AND t.shop_id = p_shop_id
    LEFT JOIN attendance AS a ON a.technician_id = t.technician_id
    LEFT JOIN clock AS c ON c.technician_id = t.technician_id
    LEFT JOIN flag AS f ON f.technician_id = t.technician_id
    WHERE coalesce(a.hours, c.hours, f.hours) IS NOT NULL
$$;
COMMENT ON FUNCTION auto.hours_of_technicians(uuid, date) IS
    'Whoever attended, clocked on or flagged hours on a day: hours of each, jobs touched, and how
     long a wait for parts took on average.';

CREATE FUNCTION auto.close_technician_days(p_shop_id uuid, p_on date) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant  CONSTANT uuid := tenant_mgmt.current_business_id();
    day     CONSTANT tstzrange := auto.day_of_shop(p_shop_id, p_on);
    written integer;
BEGIN
    INSERT INTO auto.technician_day_summary AS d (
        business_id, technician_id, shop_id, summary_on, attended_hours, clocked_hours,
        flagged_hours, productivity_pct, proficiency_pct, job_count, inspection_count,
        recommendation_count, approved_amount, comeback_count, idle_minutes,
        average_wait_parts_minutes)
    SELECT tenant, h.technician_id, p_shop_id, p_on, h.attended, h.clocked, h.flagged,
           100 * h.clocked / nullif(h.attended, 0), 100 * h.flagged / nullif(h.attended, 0),
           h.jobs, i.done, r.made, r.approved, k.back,
           round(greatest(h.attended - h.clocked, 0) * 60)::integer, h.waited_minutes
    FROM auto.hours_of_technicians(p_shop_id, p_on) AS h
    CROSS JOIN LATERAL (
        SELECT count(*) AS done
        FROM auto.inspection AS x
        WHERE x.business_id = tenant AND x.technician_id = h.technician_id
          AND x.completed_at >= lower(day) AND x.completed_at < upper(day)) AS i
    CROSS JOIN LATERAL (
        SELECT count(*) AS made,
               coalesce(sum(x.quoted_amount) FILTER (WHERE x.status IN ('approved', 'done')), 0)
                   AS approved
        FROM auto.service_recommendation AS x
        WHERE x.business_id = tenant AND x.recommended_by_technician_id = h.technician_id
          AND x.recommended_on = p_on) AS r
    CROSS JOIN LATERAL (
        SELECT count(*) AS back
        FROM auto.repair_job AS x
        JOIN auto.repair_order AS o
            ON o.business_id = x.business_id AND o.repair_order_id = x.repair_order_id
        JOIN auto.repair_job AS former
            ON former.business_id = x.business_id
           AND former.repair_job_id = x.comeback_of_repair_job_id
        WHERE x.business_id = tenant AND former.lead_technician_id = h.technician_id
          AND o.opened_at >= lower(day) AND o.opened_at < upper(day)) AS k
    ON CONFLICT (business_id, technician_id, summary_on) DO UPDATE
    SET attended_hours = excluded.attended_hours, clocked_hours = excluded.clocked_hours,
        flagged_hours = excluded.flagged_hours, productivity_pct = excluded.productivity_pct,
        proficiency_pct = excluded.proficiency_pct, job_count = excluded.job_count,
        inspection_count = excluded.inspection_count,
        recommendation_count = excluded.recommendation_count,
        approved_amount = excluded.approved_amount, comeback_count = excluded.comeback_count,
        idle_minutes = excluded.idle_minutes,
        average_wait_parts_minutes = excluded.average_wait_parts_minutes;
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN written;
END
$$;
COMMENT ON FUNCTION auto.close_technician_days(uuid, date) IS
    'Writes the day of everybody of a shop who worked; a comeback counts for whoever did the job
     the first time. Returns how many days.';

CREATE FUNCTION auto.sales_of_shop_day(p_shop_id uuid, p_on date)
    RETURNS TABLE (cars integer, labor numeric, parts numeric, tires numeric, sublet numeric,
                   discounts numeric, cost numeric)
    LANGUAGE sql STABLE AS $$
    SELECT count(DISTINCT v.repair_order_id)::integer,
           coalesce(sum(l.line_total) FILTER (WHERE l.line_kind = 'labor'), 0),
           coalesce(sum(l.line_total) FILTER (WHERE l.line_kind = 'part' AND NOT t.is_tire), 0),
           coalesce(sum(l.line_total) FILTER (WHERE l.line_kind = 'part' AND t.is_tire), 0),
           coalesce(sum(l.line_total) FILTER (WHERE l.line_kind = 'sublet'), 0),
           coalesce(-sum(l.line_total) FILTER (WHERE l.line_kind = 'discount'), 0),
           coalesce(sum(l.cost_amount) FILTER (WHERE l.line_kind IN ('part', 'sublet')), 0)
    FROM auto.day_of_shop(p_shop_id, p_on) AS day
    JOIN auto.invoice AS v
        ON v.business_id = tenant_mgmt.current_business_id() AND v.issued_at >= lower(day)
       AND v.issued_at < upper(day) AND v.status NOT IN ('draft', 'void')
    JOIN auto.repair_order AS o
        ON o.business_id = v.business_id AND o.repair_order_id = v.repair_order_id
       AND o.shop_id = p_shop_id
    JOIN auto.invoice_line AS l ON l.business_id = v.business_id AND l.invoice_id = v.invoice_id
    CROSS JOIN LATERAL (
        SELECT EXISTS (SELECT FROM auto.tire AS x
                       WHERE x.business_id = l.business_id
                         AND x.sold_part_line_id = l.part_line_id) AS is_tire) AS t
$$;
COMMENT ON FUNCTION auto.sales_of_shop_day(uuid, date) IS
    'What the invoices issued on a day sold, by kind, what they gave off and what parts and sublet
     cost. A part that became a tire of a vehicle is a tire.';

CREATE FUNCTION auto.close_shop_day(p_shop_id uuid, p_on date)
    RETURNS auto.shop_day_summary
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    day    CONSTANT tstzrange := auto.day_of_shop(p_shop_id, p_on);
    closed auto.shop_day_summary;
BEGIN
    PERFORM auto.close_technician_days(p_shop_id, p_on);
    INSERT INTO auto.shop_day_summary AS s (
        business_id, shop_id, summary_on, car_count, billed_hours, clocked_hours,
        available_hours, labor_sales_amount, parts_sales_amount, tire_sales_amount,
        sublet_sales_amount, gross_profit_amount, effective_labor_rate_amount, collected_amount,
        approved_pct, bay_use_pct, comeback_count)
    SELECT tenant, p_shop_id, p_on, i.cars, h.flagged, h.clocked, v.hours, i.labor, i.parts,
           i.tires, i.sublet,
           i.labor + i.parts + i.tires + i.sublet - i.discounts - i.cost - round(h.wages, 2),
           coalesce(round(i.labor / nullif(h.flagged, 0), 2), 0), y.amount, d.approved,
           least(100 * h.clocked / nullif(b.hours, 0), 100), k.back
    FROM auto.sales_of_shop_day(p_shop_id, p_on) AS i
    CROSS JOIN (
        SELECT coalesce(sum(x.flagged_hours), 0) AS flagged,
               coalesce(sum(x.clocked_hours), 0) AS clocked,
               coalesce(sum(x.clocked_hours * t.hourly_cost_amount), 0) AS wages
        FROM auto.technician_day_summary AS x
        JOIN auto.technician AS t
            ON t.business_id = x.business_id AND t.technician_id = x.technician_id
        WHERE x.business_id = tenant AND x.shop_id = p_shop_id AND x.summary_on = p_on) AS h
    CROSS JOIN (
        SELECT coalesce(sum(x.productive_hours), 0) AS hours
        FROM auto.technician_shift AS x
        WHERE x.business_id = tenant AND x.shop_id = p_shop_id AND x.shift_on = p_on
          AND x.status <> 'cancelled') AS v
    CROSS JOIN (
        SELECT sum(x.daily_capacity_hours) AS hours
        FROM auto.bay AS x
        WHERE x.business_id = tenant AND x.shop_id = p_shop_id
          AND x.status IN ('open', 'occupied')) AS b
    CROSS JOIN (
        SELECT coalesce(sum(x.amount) FILTER (WHERE x.refund_of_payment_id IS NULL), 0) AS amount
        FROM auto.payment AS x
        WHERE x.business_id = tenant AND x.shop_id = p_shop_id
          AND x.status IN ('captured', 'settled')
          AND x.paid_at >= lower(day) AND x.paid_at < upper(day)) AS y
    CROSS JOIN (
        SELECT round(100 * avg((x.status NOT IN ('declined', 'cancelled'))::integer), 4)
                   AS approved
        FROM auto.repair_job AS x
        JOIN auto.repair_order AS o
            ON o.business_id = x.business_id AND o.repair_order_id = x.repair_order_id
        WHERE x.business_id = tenant AND o.shop_id = p_shop_id
          AND x.decided_at >= lower(day) AND x.decided_at < upper(day)) AS d
    CROSS JOIN (
        SELECT count(*) AS back
        FROM auto.repair_order AS x
        WHERE x.business_id = tenant AND x.shop_id = p_shop_id
          AND x.comeback_of_repair_order_id IS NOT NULL
          AND x.opened_at >= lower(day) AND x.opened_at < upper(day)) AS k
    ON CONFLICT (business_id, shop_id, summary_on) DO UPDATE
    SET car_count = excluded.car_count, billed_hours = excluded.billed_hours,
        clocked_hours = excluded.clocked_hours, available_hours = excluded.available_hours,
        labor_sales_amount = excluded.labor_sales_amount,
        parts_sales_amount = excluded.parts_sales_amount,
        tire_sales_amount = excluded.tire_sales_amount,
        sublet_sales_amount = excluded.sublet_sales_amount,
        gross_profit_amount = excluded.gross_profit_amount,
        effective_labor_rate_amount = excluded.effective_labor_rate_amount,
        collected_amount = excluded.collected_amount, approved_pct = excluded.approved_pct,
        bay_use_pct = excluded.bay_use_pct, comeback_count = excluded.comeback_count
    RETURNING * INTO closed;
    RETURN closed;
END
$$;
COMMENT ON FUNCTION auto.close_shop_day(uuid, date) IS
    'Writes the summaries of a shop of the current tenant and its technicians for a day of the
     shop''s time zone; called again it writes the same rows anew.';

CREATE FUNCTION auto.unproven_shop_days(from_on date, to_on date)
    RETURNS TABLE (shop_id uuid, summary_on date, problem text)
    LANGUAGE sql STABLE AS $$
    SELECT s.shop_id, s.summary_on,
           format('%s cars and %s sold in the summary, %s and %s in the invoices', s.car_count,
                  n.summed, i.cars, i.labor + i.parts + i.tires + i.sublet)
    FROM auto.shop_day_summary AS s
    CROSS JOIN LATERAL (
        SELECT s.labor_sales_amount + s.parts_sales_amount + s.tire_sales_amount
               + s.sublet_sales_amount AS summed) AS n
    CROSS JOIN LATERAL auto.sales_of_shop_day(s.shop_id, s.summary_on) AS i
    WHERE s.business_id = tenant_mgmt.current_business_id()
      AND s.summary_on BETWEEN from_on AND to_on
      AND (s.car_count, s.labor_sales_amount::numeric, s.parts_sales_amount::numeric,
           s.tire_sales_amount::numeric, s.sublet_sales_amount::numeric)
          <> (i.cars, i.labor, i.parts, i.tires, i.sublet)
$$;
COMMENT ON FUNCTION auto.unproven_shop_days(date, date) IS
    'The closed days of a period whose sales the invoices do not bear out: close them anew.';
