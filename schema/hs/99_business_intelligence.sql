/*
 * Business intelligence: what the owner looks at.
 *
 * kpi_definition names a measure, kpi_snapshot is its value on a day for a unit, a zone or a
 * technician. technician_scorecard sums a week of a technician, job_profitability what a job left.
 */

CREATE TABLE hs.kpi_definition (
    business_id       uuid             NOT NULL,
    kpi_definition_id uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    kpi_code          system_core.code NOT NULL,
    name              text             NOT NULL,
    category          text             NOT NULL,
    unit_kind         text             NOT NULL,
    direction         text             NOT NULL DEFAULT 'up_is_good',
    source_view       text,
    aggregation       text             NOT NULL DEFAULT 'sum',
    description       text,
    is_active         boolean          NOT NULL DEFAULT true,
    created_at        timestamptz      NOT NULL DEFAULT now(),
    updated_at        timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, kpi_definition_id),
    UNIQUE (business_id, kpi_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT kpi_definition_category_known
        CHECK (category IN ('sales', 'dispatch', 'service', 'finance', 'safety', 'marketing',
                            'agreements')),
    CONSTRAINT kpi_definition_unit_known
        CHECK (unit_kind IN ('money', 'percent', 'count', 'minutes', 'score')),
    CONSTRAINT kpi_definition_direction_known
        CHECK (direction IN ('up_is_good', 'down_is_good')),
    CONSTRAINT kpi_definition_aggregation_known
        CHECK (aggregation IN ('sum', 'average', 'ratio', 'last'))
);

COMMENT ON TABLE hs.kpi_definition IS
    'A measure of the business: its unit, where it comes from, and which way is good.';

ALTER TABLE hs.kpi_definition ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.kpi_definition
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.kpi_definition TO app_user;
GRANT SELECT ON hs.kpi_definition TO app_readonly;

CREATE TRIGGER kpi_definition_touch
    BEFORE UPDATE ON hs.kpi_definition
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE hs.kpi_snapshot (
    business_id          uuid           NOT NULL,
    kpi_snapshot_id      uuid           NOT NULL DEFAULT system_core.uuid_v7(),
    kpi_definition_id    uuid           NOT NULL,
    business_unit_id     uuid,
    technician_id        uuid,
    service_territory_id uuid,
    captured_on          date           NOT NULL DEFAULT current_date,
    period_kind          text           NOT NULL DEFAULT 'day',
    numerator            numeric(18, 6),
    denominator          numeric(18, 6),
    measured_value       numeric(18, 6),
    target_value         numeric(18, 6),
    status               text           NOT NULL DEFAULT 'no_data',
    computed_at          timestamptz    NOT NULL DEFAULT now(),
    created_at           timestamptz    NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, kpi_snapshot_id, captured_on),
    UNIQUE NULLS NOT DISTINCT (business_id, kpi_definition_id, business_unit_id, technician_id,
                               service_territory_id, period_kind, captured_on),
    FOREIGN KEY (business_id, kpi_definition_id)
        REFERENCES hs.kpi_definition (business_id, kpi_definition_id),
    FOREIGN KEY (business_id, business_unit_id)
        REFERENCES hs.business_unit (business_id, business_unit_id),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    FOREIGN KEY (business_id, service_territory_id)
        REFERENCES hs.service_territory (business_id, service_territory_id),
    CONSTRAINT kpi_snapshot_period_known
        CHECK (period_kind IN ('day', 'week_to_date', 'month_to_date', 'trailing_30')),
    CONSTRAINT kpi_snapshot_status_known
        CHECK (status IN ('on_track', 'warning', 'off_track', 'no_data')),
    CONSTRAINT kpi_snapshot_ratio_of_something CHECK (denominator <> 0),
    CONSTRAINT kpi_snapshot_nothing_is_no_data
        CHECK ((status = 'no_data') = (measured_value IS NULL))
) PARTITION BY RANGE (captured_on);

COMMENT ON TABLE hs.kpi_snapshot IS
    'The value of a measure on a day, of all or of one unit, zone or technician; append only.';

-- FK: the measures of a unit.
CREATE INDEX kpi_snapshot_unit_idx
    ON hs.kpi_snapshot (business_id, business_unit_id, captured_on DESC)
    WHERE business_unit_id IS NOT NULL;

-- FK: the measures of a technician.
CREATE INDEX kpi_snapshot_technician_idx
    ON hs.kpi_snapshot (business_id, technician_id, captured_on DESC)
    WHERE technician_id IS NOT NULL;

-- FK: the measures of a zone.
CREATE INDEX kpi_snapshot_territory_idx
    ON hs.kpi_snapshot (business_id, service_territory_id, captured_on DESC)
    WHERE service_territory_id IS NOT NULL;

ALTER TABLE hs.kpi_snapshot ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.kpi_snapshot
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON hs.kpi_snapshot TO app_user;
GRANT SELECT ON hs.kpi_snapshot TO app_readonly;

CREATE TRIGGER kpi_snapshot_append_only
    BEFORE UPDATE OR DELETE ON hs.kpi_snapshot
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('hs.kpi_snapshot');

CREATE TABLE hs.kpi_snapshot_default PARTITION OF hs.kpi_snapshot DEFAULT;
ALTER TABLE hs.kpi_snapshot_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.kpi_snapshot_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('hs.kpi_snapshot', 'month', behind => 3, ahead => 1);


CREATE TABLE hs.technician_scorecard (
    business_id              uuid                   NOT NULL,
    technician_scorecard_id  uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    technician_id            uuid                   NOT NULL,
    week_on                  date                   NOT NULL,
    job_count                integer                NOT NULL DEFAULT 0,
    revenue_amount           system_core.money      NOT NULL DEFAULT 0,
    average_ticket_amount    system_core.money
        GENERATED ALWAYS AS (round(revenue_amount::numeric / nullif(job_count, 0), 2)) STORED,
    opportunity_count        integer                NOT NULL DEFAULT 0,
    conversion_pct           system_core.percentage,
    agreement_sold_count     integer                NOT NULL DEFAULT 0,
    lead_set_count           integer                NOT NULL DEFAULT 0,
    on_time_pct              system_core.percentage,
    callback_count           integer                NOT NULL DEFAULT 0,
    billable_utilization_pct system_core.percentage,
    average_review_score     system_core.score,
    safety_score             system_core.score,
    rank_no                  integer,
    created_at               timestamptz            NOT NULL DEFAULT now(),
    updated_at               timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, technician_scorecard_id),
    UNIQUE (business_id, technician_id, week_on),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    CONSTRAINT technician_scorecard_week_is_monday CHECK (extract(isodow FROM week_on) = 1),
    CONSTRAINT technician_scorecard_percentages_bounded
        CHECK (conversion_pct BETWEEN 0 AND 100 AND on_time_pct BETWEEN 0 AND 100
               AND billable_utilization_pct BETWEEN 0 AND 100),
    CONSTRAINT technician_scorecard_conversion_bounded CHECK (conversion_pct BETWEEN 0 AND 100),
    CONSTRAINT technician_scorecard_on_time_bounded CHECK (on_time_pct BETWEEN 0 AND 100),
    CONSTRAINT technician_scorecard_reviews_bounded CHECK (average_review_score BETWEEN 1 AND 5),
    CONSTRAINT technician_scorecard_counts_not_negative
        CHECK (least(job_count, opportunity_count, agreement_sold_count, lead_set_count,
                     callback_count) >= 0),
    CONSTRAINT technician_scorecard_rank_positive CHECK (rank_no > 0)
);

COMMENT ON TABLE hs.technician_scorecard IS
    'A week of a technician: revenue, conversion, callbacks, punctuality, reviews.';
COMMENT ON COLUMN hs.technician_scorecard.week_on IS 'Its Monday.';
COMMENT ON COLUMN hs.technician_scorecard.rank_no IS '1 earned the most that week.';

-- The board of a week.
CREATE INDEX technician_scorecard_week_idx
    ON hs.technician_scorecard (business_id, week_on DESC, rank_no);

ALTER TABLE hs.technician_scorecard ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.technician_scorecard
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.technician_scorecard TO app_user;
GRANT SELECT ON hs.technician_scorecard TO app_readonly;

CREATE TRIGGER technician_scorecard_touch
    BEFORE UPDATE ON hs.technician_scorecard
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE hs.job_profitability (
    business_id             uuid              NOT NULL,
    job_profitability_id    uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    work_order_id           uuid              NOT NULL,
    business_unit_id        uuid              NOT NULL,
    technician_id           uuid,
    revenue_amount          system_core.money NOT NULL DEFAULT 0,
    labor_cost              system_core.money NOT NULL DEFAULT 0,
    material_cost           system_core.money NOT NULL DEFAULT 0,
    equipment_cost          system_core.money NOT NULL DEFAULT 0,
    subcontract_cost        system_core.money NOT NULL DEFAULT 0,
    commission_cost         system_core.money NOT NULL DEFAULT 0,
    overhead_cost           system_core.money NOT NULL DEFAULT 0,
    warranty_reserve_amount system_core.money NOT NULL DEFAULT 0,
    gross_margin_amount     system_core.money NOT NULL
        GENERATED ALWAYS AS (revenue_amount - (labor_cost + material_cost + equipment_cost
                                               + subcontract_cost + commission_cost)) STORED,
    gross_margin_pct        system_core.percentage
        GENERATED ALWAYS AS (round(
            100 * (revenue_amount - (labor_cost + material_cost + equipment_cost
                                     + subcontract_cost + commission_cost))::numeric
            / nullif(revenue_amount, 0), 4)) STORED,
    billed_hours            numeric(10, 2)    NOT NULL DEFAULT 0,
    actual_hours            numeric(10, 2)    NOT NULL DEFAULT 0,
    computed_at             timestamptz       NOT NULL DEFAULT now(),
    created_at              timestamptz       NOT NULL DEFAULT now(),
    updated_at              timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, job_profitability_id),
    UNIQUE (business_id, work_order_id),
    FOREIGN KEY (business_id, work_order_id)
        REFERENCES hs.work_order (business_id, work_order_id),
    FOREIGN KEY (business_id, business_unit_id)
        REFERENCES hs.business_unit (business_id, business_unit_id),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    CONSTRAINT job_profitability_figures_not_negative
        CHECK (least(revenue_amount, labor_cost, material_cost, equipment_cost, subcontract_cost,
                     commission_cost, overhead_cost, warranty_reserve_amount) >= 0),
    CONSTRAINT job_profitability_hours_not_negative CHECK (billed_hours >= 0 AND actual_hours >= 0)
);

COMMENT ON TABLE hs.job_profitability IS 'What a job brought, what it cost, and what it left.';
COMMENT ON COLUMN hs.job_profitability.technician_id IS 'Who led the job.';

-- FK: what the jobs of a unit left.
CREATE INDEX job_profitability_unit_idx
    ON hs.job_profitability (business_id, business_unit_id, computed_at DESC);

-- FK: what the jobs of a technician left.
CREATE INDEX job_profitability_technician_idx
    ON hs.job_profitability (business_id, technician_id)
    WHERE technician_id IS NOT NULL;

ALTER TABLE hs.job_profitability ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.job_profitability
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.job_profitability TO app_user;
GRANT SELECT ON hs.job_profitability TO app_readonly;

CREATE TRIGGER job_profitability_touch
    BEFORE UPDATE ON hs.job_profitability
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE FUNCTION hs.compute_job_profitability(job uuid, overhead_pct numeric DEFAULT 0)
    RETURNS hs.job_profitability
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    result hs.job_profitability;
BEGIN
    INSERT INTO hs.job_profitability AS p (
        business_id, work_order_id, business_unit_id, technician_id, revenue_amount, labor_cost,
        material_cost, equipment_cost, subcontract_cost, commission_cost, overhead_cost,
        billed_hours, actual_hours, computed_at)
    SELECT tenant, job, w.business_unit_id, h.lead, l.revenue, h.labor, l.material, l.equipment,
           l.subcontract, c.commission, round(l.revenue * overhead_pct / 100, 2), l.billed,
           h.hours, now()
    FROM hs.work_order AS w
    CROSS JOIN LATERAL (
        SELECT greatest(coalesce(sum(x.line_total) FILTER (WHERE x.is_billable), 0), 0) AS revenue,
               coalesce(sum(x.line_qty * x.unit_cost)
                        FILTER (WHERE x.line_kind = 'material'), 0)    AS material,
               coalesce(sum(x.line_qty * x.unit_cost)
                        FILTER (WHERE x.line_kind = 'equipment'), 0)   AS equipment,
               coalesce(sum(x.line_qty * x.unit_cost)
                        FILTER (WHERE x.line_kind = 'subcontract'), 0) AS subcontract,
               coalesce(sum(x.line_qty) FILTER (WHERE x.line_kind = 'labor'), 0) AS billed
        FROM hs.work_order_line AS x
        WHERE x.business_id = tenant AND x.work_order_id = job AND x.voided_at IS NULL
    ) AS l
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(e.entry_minutes), 0) / 60.0 AS hours,
               coalesce(sum(e.entry_minutes * t.hourly_pay_amount) / 60.0, 0) AS labor,
               (array_agg(e.technician_id ORDER BY e.entry_minutes DESC NULLS LAST))[1] AS lead
        FROM hs.time_entry AS e
        JOIN hs.technician AS t
            ON t.business_id = e.business_id AND t.technician_id = e.technician_id
        WHERE e.business_id = tenant AND e.work_order_id = job
    ) AS h
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(greatest(e.entry_amount, 0)), 0) AS commission
        FROM hs.commission_entry AS e
        WHERE e.business_id = tenant AND e.work_order_id = job AND e.status <> 'reversed'
    ) AS c
    WHERE w.business_id = tenant AND w.work_order_id = job
    ON CONFLICT (business_id, work_order_id) DO UPDATE
    SET technician_id = excluded.technician_id, revenue_amount = excluded.revenue_amount,
        labor_cost = excluded.labor_cost, material_cost = excluded.material_cost,
        equipment_cost = excluded.equipment_cost, subcontract_cost = excluded.subcontract_cost,
        commission_cost = excluded.commission_cost, overhead_cost = excluded.overhead_cost,
        billed_hours = excluded.billed_hours, actual_hours = excluded.actual_hours,
        computed_at = excluded.computed_at
    RETURNING p.* INTO result;
    IF result IS NULL THEN
        RAISE EXCEPTION 'there is no work order %', job USING ERRCODE = 'no_data_found';
    END IF;
    RETURN result;
END
$$;
COMMENT ON FUNCTION hs.compute_job_profitability(uuid, numeric) IS
    'What a job of the tenant left: its lines, the hours on the clock at what technicians cost,
     and commissions. Asked again, it counts anew.';


CREATE MATERIALIZED VIEW hs.mv_territory_demand AS
SELECT a.business_id, a.service_territory_id,
       extract(isodow FROM a.window_start_at)::integer AS weekday,
       extract(hour FROM a.window_start_at)::integer   AS window_hour,
       count(*)                                        AS appointments,
       round(sum(a.estimated_minutes) / 60.0, 2)       AS hours,
       count(*) FILTER (WHERE a.status = 'cancelled')  AS unserved
FROM hs.appointment AS a
WHERE a.window_start_at >= now() - interval '91 days'
GROUP BY a.business_id, a.service_territory_id, extract(isodow FROM a.window_start_at),
         extract(hour FROM a.window_start_at)
WITH NO DATA;
COMMENT ON MATERIALIZED VIEW hs.mv_territory_demand IS
    'Appointments and hours per zone, weekday and hour over 13 weeks: what capacity is planned by.';

-- Unique, so that it is refreshed concurrently; also serves v_territory_demand.
CREATE UNIQUE INDEX mv_territory_demand_idx
    ON hs.mv_territory_demand (business_id, service_territory_id, weekday, window_hour);

GRANT USAGE ON SCHEMA hs, tenant_mgmt TO matview_owner;
GRANT SELECT ON hs.appointment TO matview_owner;

CREATE VIEW hs.v_territory_demand WITH (security_barrier = true) AS
SELECT *
FROM hs.mv_territory_demand AS d
WHERE d.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW hs.v_territory_demand IS 'The tenant''s part of mv_territory_demand.';
GRANT SELECT ON hs.v_territory_demand TO app_user, app_readonly;
